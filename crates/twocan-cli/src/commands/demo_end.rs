//! One end of the demo: a process of its own, which reports what it does as lines on standard
//! output.
//!
//! A report is one write below the pipe's atomic size, so a kill leaves a whole report or none. The
//! end of standard input means: stop, hand over everything, say goodbye.

use crate::cli::DemoEnd;
use crate::exit::{Exit, Failure};
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};
use twocan::{Cancel, Channel, Incoming, RecvError, SendError, Sender};

/// Bytes of a demo message: the size that the round trip is measured with everywhere.
pub(crate) const MESSAGE: usize = 48;

/// Round trips that are measured, after a tenth of them to warm up.
pub(crate) const ROUNDS: usize = 20_000;

/// How long an end waits for the other one when it stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs one end.
pub(crate) fn run(args: &DemoEnd) -> Result<(), Failure> {
    let stop = Cancel::new();
    let stopper = stop.clone();
    thread::spawn(move || {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        stopper.cancel();
    });
    let mut options = Channel::options();
    options.label("demo/1").nick(args.role.as_str());
    let channel = options.open(&args.name)?;
    let ended = match args.role.as_str() {
        "ping" => ping(channel, &stop),
        "pong" => pong(channel, &stop),
        "left" | "right" => stream(channel, args.life, &stop),
        _ => return Err(Failure::new(Exit::Usage, "unknown role.")),
    };
    ended.map_err(|e| Failure::new(Exit::of_kind(e.kind()), e.to_string()))
}

fn ping(mut channel: Channel, stop: &Cancel) -> Result<(), twocan::Error> {
    let mut nanos = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS + ROUNDS / 10 {
        let start = Instant::now();
        channel.send_until([7; MESSAGE], stop)?;
        channel.recv_until(stop)?;
        if round >= ROUNDS / 10 {
            nanos.push(start.elapsed().as_nanos() as u64);
        }
    }
    nanos.sort_unstable();
    report(&format!("round {}\n", nanos[nanos.len() / 2]));
    Ok(())
}

fn pong(mut channel: Channel, stop: &Cancel) -> Result<(), twocan::Error> {
    loop {
        match channel.recv_until(stop) {
            Ok(message) => {
                channel.send_until(&message[..], stop)?;
            }
            Err(e) if e.is_peer_gone() || e == RecvError::Cancelled => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

fn stream(channel: Channel, life: u32, stop: &Cancel) -> Result<(), twocan::Error> {
    let (sender, mut receiver) = channel.into_split();
    let stopped = stop.clone();
    let sending = thread::spawn(move || send(sender, life, &stopped));
    loop {
        match receiver.recv_incoming(Duration::from_secs(20))? {
            Incoming::Joined(_) => report("joined\n"),
            Incoming::Message(message) => match read(&message) {
                Some((life, n)) => {
                    let seq = message.seq();
                    let (region, position) = (seq.region(), seq.position());
                    report(&format!("got {region} {position} {life} {n}\n"));
                }
                None => report("broken\n"),
            },
            // Whoever says goodbye has finished; a quick one is seen only as the goodbye.
            Incoming::Finished | Incoming::Left(_) => break,
            _ => {}
        }
    }
    receiver.ack();
    match sending.join() {
        Ok(result) => result.map_err(twocan::Error::from),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn send(mut sender: Sender, life: u32, stop: &Cancel) -> Result<(), SendError> {
    let mut n = 0;
    loop {
        match sender.send_until(message(life, n), stop) {
            Ok(_) => {
                report(&format!("sent {n}\n"));
                n += 1;
            }
            Err(SendError::Cancelled) => break,
            Err(e) if e.is_peer_gone() => {}
            Err(e) => return Err(e),
        }
        if stop.is_cancelled() {
            break;
        }
    }
    while let Some(last) = sender.sent() {
        match sender.wait_acknowledged(last, PATIENCE) {
            Err(e) if e.is_peer_gone() => {}
            other => {
                other?;
                break;
            }
        }
    }
    sender.finish();
    Ok(())
}

/// life u32, n u64, and a pattern made of both, so that a torn message is seen.
fn message(life: u32, n: u64) -> [u8; MESSAGE] {
    let mut bytes = [0; MESSAGE];
    bytes[..4].copy_from_slice(&life.to_le_bytes());
    bytes[4..12].copy_from_slice(&n.to_le_bytes());
    // An odd factor keeps different numbers different, and each byte of the product stands in the
    // pattern.
    let mixed = (n ^ u64::from(life) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    for (i, byte) in bytes[12..].iter_mut().enumerate() {
        *byte = mixed[i % 8].wrapping_add(i as u8);
    }
    bytes
}

fn read(bytes: &[u8]) -> Option<(u32, u64)> {
    let life = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let n = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?);
    (bytes == message(life, n)).then_some((life, n))
}

/// One write: standard output buffers by line, and this is one.
fn report(line: &str) {
    let _ = io::stdout().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_message_is_seen() {
        let whole = message(2, 1_000_000);
        assert_eq!(read(&whole), Some((2, 1_000_000)));
        for i in 0..MESSAGE {
            let mut torn = whole;
            torn[i] ^= 1;
            assert_eq!(read(&torn), None, "byte {i}");
        }
        assert_eq!(read(&whole[..40]), None);
    }
}
