//! Standard input on a thread of its own, so that a signal is never stuck behind a read.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Items that may be read ahead of their use.
const AHEAD: usize = 16;

/// What comes from standard input, or from a signal.
#[derive(Debug)]
pub(crate) enum Feed {
    /// The next item.
    Item(Vec<u8>),
    /// The end of the input.
    End,
    /// The input cannot be read, or an item is longer than allowed.
    Failed(io::Error),
    /// Look at the cancellation: a signal came, or the other half of the command is done.
    Stop,
}

/// How the input is cut into items.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Framing {
    /// Each line without its line end, up to `max` bytes.
    Lines {
        /// Longest line in bytes.
        max: usize,
    },
    /// All of it, up to `max` bytes.
    Whole {
        /// Longest input in bytes.
        max: usize,
    },
    /// Whatever a read brings, up to `len` bytes.
    Chunks {
        /// Longest piece in bytes.
        len: usize,
    },
}

/// The way to standard input; `stop` may be called from anywhere.
pub(crate) fn channel() -> (SyncSender<Feed>, Receiver<Feed>) {
    sync_channel(AHEAD)
}

/// Makes a reader of the feed look at the cancellation. A full feed needs no word: its reader is
/// awake.
pub(crate) fn stop(feed: &SyncSender<Feed>) {
    let _ = feed.try_send(Feed::Stop);
}

/// Reads standard input until it ends or nobody wants it any more.
pub(crate) fn read_stdin(framing: Framing, feed: SyncSender<Feed>) {
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let last = match read(&mut stdin, framing, |item| feed.send(Feed::Item(item)).is_ok()) {
            Ok(()) => Feed::End,
            Err(e) => Feed::Failed(e),
        };
        let _ = feed.send(last);
    });
}

/// Cuts `input` into items for `take`, until the end or until `take` returns false.
fn read(
    input: &mut impl BufRead,
    framing: Framing,
    mut take: impl FnMut(Vec<u8>) -> bool,
) -> io::Result<()> {
    match framing {
        Framing::Whole { max } => {
            let mut all = Vec::new();
            input.take(max as u64 + 1).read_to_end(&mut all)?;
            check(all.len(), max)?;
            take(all);
            Ok(())
        }
        Framing::Lines { max } => loop {
            let mut line = Vec::new();
            input.take(max as u64 + 2).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            line.pop_if(|b| *b == b'\n');
            check(line.len(), max)?;
            if !take(line) {
                return Ok(());
            }
        },
        Framing::Chunks { len } => loop {
            let mut chunk = vec![0; len];
            let n = match input.read(&mut chunk) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            chunk.truncate(n);
            if n == 0 || !take(chunk) {
                return Ok(());
            }
        },
    }
}

fn check(len: usize, max: usize) -> io::Result<()> {
    if len <= max {
        return Ok(());
    }
    let words = format!("a message is longer than {max} bytes, the most that fits (--max-message)");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(input: &str, framing: Framing) -> (Vec<String>, bool) {
        let mut items = Vec::new();
        let end = read(&mut input.as_bytes(), framing, |item| {
            items.push(String::from_utf8(item).unwrap());
            true
        });
        (items, end.is_ok())
    }

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn lines_lose_their_line_end_and_nothing_else() {
        let lines = Framing::Lines { max: 5 };
        assert_eq!(items("a\n\n b \r\nlast", lines), (strings(&["a", "", " b \r", "last"]), true));
        assert_eq!(items("", lines), (vec![], true));
        assert_eq!(items("12345\n123456\n", lines), (strings(&["12345"]), false));
    }

    #[test]
    fn whole_is_one_item_as_it_is() {
        assert_eq!(items("a\nb\n", Framing::Whole { max: 4 }), (strings(&["a\nb\n"]), true));
        assert_eq!(items("", Framing::Whole { max: 4 }), (strings(&[""]), true));
        assert_eq!(items("12345", Framing::Whole { max: 4 }), (vec![], false));
    }

    #[test]
    fn chunks_are_at_most_so_long() {
        assert_eq!(items("abcde", Framing::Chunks { len: 2 }), (strings(&["ab", "cd", "e"]), true));
    }
}
