//! Process B of the C# pair: opens the map called "Cat" and prints its text without the zeros.

use std::env;
use twocan::MemoryMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = env::args().nth(1).unwrap_or_else(|| "Cat".to_owned());
    let bytes = MemoryMap::open_existing(&name)?.view()?.read_vec(..)?;
    println!("{}", String::from_utf8(bytes)?.trim_end_matches('\0'));
    Ok(())
}
