//! A worker thread owns both halves and answers until it is cancelled. Both ends live here.

use std::error::Error;
use std::thread;
use twocan::{Cancel, Channel, Receiver, Sender};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut here, there) = Channel::pair()?;
    let (tx, rx) = there.into_split();
    let cancel = Cancel::new();
    let worker = thread::spawn({
        let cancel = cancel.clone();
        move || echo(tx, rx, &cancel)
    });
    for line in ["one", "둘", "three"] {
        here.send(line)?;
        println!("{}", here.recv()?.to_str()?);
    }
    cancel.cancel(); // ends the worker's recv, at once and without a time-out
    let echoed = worker.join().expect("the worker panicked");
    println!("{echoed} echoed");
    Ok(())
}

fn echo(mut tx: Sender, mut rx: Receiver, cancel: &Cancel) -> usize {
    let mut echoed = 0;
    loop {
        match rx.recv_until(cancel) {
            Ok(message) if tx.send(&*message).is_ok() => echoed += 1,
            Ok(_) => return echoed,
            Err(e) if e.is_peer_gone() => {} // the next call waits for the next peer
            Err(_) => return echoed,
        }
    }
}
