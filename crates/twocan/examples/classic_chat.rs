//! The chat of two Win32 windows: one slot, four events. Standard input plays the edit box.
use std::{env, io, sync::Mutex, thread};
use twocan::{Event, MemoryMap, Reset, Until, wait_any};

const TEXT_MAX: usize = 255; // bytes; the slot is a u32 size and the text behind it

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = env::args().nth(1).unwrap_or_else(|| "Chat".to_owned());
    let map = MemoryMap::create_or_open(&name, 4 + TEXT_MAX as u64)?;
    let (mine, yours) = if map.was_created() { ("A", "B") } else { ("B", "A") };
    let slot = map.view()?;
    let exit = Event::create_or_open(&format!("{name}.Exit"), Reset::Manual)?;
    let receive = Event::create_or_open(&format!("{name}.Receive{mine}"), Reset::Auto)?;
    let received = Event::create_or_open(&format!("{name}.Receive{yours}"), Reset::Auto)?;
    let (send, edit) = (Event::anonymous(Reset::Auto)?, Mutex::new(Vec::new()));
    println!("this is window {mine}");
    let communicate = || -> twocan::Result<()> {
        while let Some(ready @ 1..) = wait_any(&[&exit, &send, &receive], Until::FOREVER)? {
            if ready == 1 {
                let text: Vec<u8> = edit.lock().unwrap().clone();
                slot.write(4, &text[..])?;
                slot.write(0, &(text.len() as u32))?;
                received.set()?;
            } else {
                let size = slot.read::<u32>(0)?.min(TEXT_MAX as u32) as usize; // never trust it
                println!("{}", String::from_utf8_lossy(&slot.read_vec(4..4 + size)?));
            }
        }
        println!("the chat is over");
        Ok(())
    };
    Ok(thread::scope(|scope| {
        let thread = scope.spawn(communicate);
        for line in io::stdin().lines().map_while(Result::ok) {
            *edit.lock().unwrap() = line.bytes().take(TEXT_MAX).collect();
            let _ = send.set();
        }
        exit.set().and(thread.join().unwrap()) // ends the thread of the other window, too
    })?)
}
