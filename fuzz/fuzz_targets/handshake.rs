//! Packets of the handshake. The first byte says for whom, the second how many descriptors go with
//! it; the rest is the packet.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [to, fds, packet @ ..] = bytes else { return };
    twocan::fuzzing::packets(packet);
    // Sockets and regions cost a hundred times as much as reading a packet.
    if to & 4 == 0 {
        let (fewer, more) = (usize::from(fds >> 4 & 3), usize::from(fds & 15));
        twocan::fuzzing::handshake(to & 1 == 0, fewer, more, packet);
    }
});
