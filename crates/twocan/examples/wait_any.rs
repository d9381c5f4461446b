//! One thread sleeps on an event, on a channel and on a clock at once. Nothing is polled.

use std::error::Error;
use std::time::{Duration, Instant};
use std::{process, thread};
use twocan::{Channel, Event, Reset, wait_any};

fn main() -> Result<(), Box<dyn Error>> {
    let name = format!("wait_any.{}", process::id());
    let stop = Event::create_new(&name, Reset::Manual)?;
    let (mut here, mut there) = Channel::pair()?;

    let other = thread::spawn(move || -> twocan::Result<()> {
        let stop = Event::open_existing(&name)?; // as another process would
        for text in ["first", "second"] {
            there.send(text)?;
            thread::sleep(Duration::from_millis(50));
        }
        stop.set()
    });

    let end = Instant::now() + Duration::from_secs(10);
    loop {
        // The lowest ready index. A channel end is ready when its call would not block.
        match wait_any(&[&stop, here.receiver()], end)? {
            Some(0) => break println!("stop"),
            Some(_) => println!("{}", here.recv()?.to_str()?),
            None => break println!("time is up"),
        }
    }
    other.join().expect("the other thread panicked")?;
    Ok(())
}
