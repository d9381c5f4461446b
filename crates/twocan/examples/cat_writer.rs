//! Process A of the C# pair: a named map called "Cat", 10000 bytes, with a greeting in UTF-8.
//! Holds it until Enter (or the end of standard input); then the name is gone.

use std::{env, io};
use twocan::MemoryMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = env::args().nth(1).unwrap_or_else(|| "Cat".to_owned());
    let map = MemoryMap::create_new(&name, 10_000)?;
    map.view()?.write(0, "HI Night Mo.")?;
    println!("{name}: {} bytes, held until Enter", map.len());
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
