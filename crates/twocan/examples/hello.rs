//! Start it twice: the same program on both sides.
use twocan::Channel;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut can = Channel::open("cat")?; // either side first
    can.send(format!("hello from {}", std::process::id()))?; // kept until the other side comes
    let answer = can.recv()?; // waits for the other side
    println!("{}", answer.to_str()?);
    can.close()?; // waits until ours was taken
    Ok(())
}
