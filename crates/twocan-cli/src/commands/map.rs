//! `twocan map`: a named piece of shared memory from the shell.

use super::hold::Holding;
use crate::cli::{Map, MapCreate};
use crate::exit::{Exit, Failure, io_failure};
use std::io::{self, Write};
use twocan::{Access, ErrorKind, MemoryMap, View};

/// Bytes copied at once from a map to standard output.
const PIECE: usize = 1 << 20;

/// Runs the command.
pub(crate) fn run(map: Map) -> Result<(), Failure> {
    match map {
        Map::Create(args) => create(&args),
        Map::Read { name, at, len, text } => read(&name, at, len, text),
        Map::Write { name, text, at } => {
            open(&name, Access::ReadWrite)?.write(position(&name, at)?, text.as_str())?;
            Ok(())
        }
    }
}

fn create(args: &MapCreate) -> Result<(), Failure> {
    let holding = Holding::prepare()?;
    let first = match (&args.text, &args.file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(file)) => {
            std::fs::read(file).map_err(|e| io_failure(&file.display().to_string(), &e))?
        }
        (None, None) => Vec::new(),
    };
    if first.len() as u64 > args.size {
        let text = format!(
            "the map {} would have {} bytes, and {} are to be written. Give it a larger size.",
            args.name,
            args.size,
            first.len()
        );
        return Err(Failure::new(Exit::Other, text));
    }
    let map = MemoryMap::create_new(&args.name, args.size)?;
    if !first.is_empty() {
        map.view()?.write(0, first.as_slice())?;
    }
    let announcement = format!("{}: {} bytes, held until Ctrl-C.\n", args.name, map.len());
    let ended = holding.hold(&args.hold, &announcement);
    drop(map);
    ended
}

fn open(name: &str, access: Access) -> Result<View, Failure> {
    Ok(MemoryMap::options().access(access).open_existing(name)?.view()?)
}

fn read(name: &str, at: u64, len: Option<u64>, text: bool) -> Result<(), Failure> {
    let view = open(name, Access::Read)?;
    let from = position(name, at)?;
    let end = match len {
        Some(len) => position(name, at.saturating_add(len))?,
        None => view.len(),
    };
    if from > view.len() || end > view.len() || from > end {
        // The library's own words for it.
        view.read_vec(from..end.max(from))?;
    }
    if text { print_text(&view, from, end) } else { print_bytes(&view, from, end) }
}

/// UTF-8 up to the first zero byte. What is no UTF-8 becomes a replacement character: it goes to a
/// person.
fn print_text(view: &View, from: usize, end: usize) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    for start in (from..end).step_by(PIECE) {
        let piece = view.read_vec(start..end.min(start + PIECE))?;
        let zero = piece.iter().position(|b| *b == 0);
        bytes.extend_from_slice(&piece[..zero.unwrap_or(piece.len())]);
        if zero.is_some() {
            break;
        }
    }
    crate::print(&format!("{}\n", String::from_utf8_lossy(&bytes)))
}

fn print_bytes(view: &View, from: usize, end: usize) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for start in (from..end).step_by(PIECE) {
        let piece = view.read_vec(start..end.min(start + PIECE))?;
        match out.write_all(&piece) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(e) => return Err(io_failure("standard output", &e)),
        }
    }
    match out.flush() {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(io_failure("standard output", &e)),
        _ => Ok(()),
    }
}

fn position(name: &str, at: u64) -> Result<usize, Failure> {
    usize::try_from(at).map_err(|_| {
        let exit = Exit::of_kind(ErrorKind::OutOfRange);
        Failure::new(exit, format!("{name}: position {at} is beyond the memory."))
    })
}
