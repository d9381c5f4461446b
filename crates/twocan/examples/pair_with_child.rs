//! A channel without a name: one end stays here, the other is handed to a child process.

use std::env;
use std::error::Error;
use std::process::Command;
use twocan::Channel;

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().nth(1).as_deref() == Some("child") {
        return child();
    }
    let (mut can, mut invitation) = Channel::invite()?;
    let mut command = Command::new(env::current_exe()?);
    invitation.attach(command.arg("child"))?;
    let mut child = command.spawn()?;
    drop((invitation, command)); // now the child alone has the other end
    can.send("what is your number?")?;
    let answer = can.recv()?; // an error, not a hang, if the child dies
    println!("the child says {}", answer.to_str()?);
    can.close()?;
    child.wait()?;
    Ok(())
}

fn child() -> Result<(), Box<dyn Error>> {
    let mut can = Channel::invited()?;
    let question = can.recv()?;
    println!("the parent asks {}", question.to_str()?);
    can.send("42")?;
    can.close()?; // waits until the parent took it
    Ok(())
}
