//! Stays when the other side leaves or dies, answers whoever comes next. Ends with Ctrl-C.
//!
//! Give a channel name, or none for "cat"; run the example `hello` against it, again and again.

use twocan::{Channel, Incoming, PeerInfo, Until};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "cat".to_owned());
    let mut can = Channel::options().nick("stay").open(&name)?;
    println!("{name}: waiting");
    loop {
        // Messages, comings and goings in their true order: a peer leaves after its last message.
        match can.recv_incoming(Until::FOREVER)? {
            Incoming::Joined(peer) => println!("{} joined", who(&peer)),
            Incoming::Message(message) => {
                println!("{} {}", message.seq(), message.to_string_lossy());
                can.send(&*message)?;
            }
            Incoming::Finished => println!("nothing more will come from this one"),
            Incoming::Left(peer) => println!("{} left", who(&peer)),
            Incoming::Died(peer) => println!("{} ended without saying goodbye", who(&peer)),
            _ => {}
        }
    }
}

fn who(peer: &PeerInfo) -> String {
    let pid = peer.pid().map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    if peer.nick().is_empty() { format!("pid {pid}") } else { format!("{} ({pid})", peer.nick()) }
}
