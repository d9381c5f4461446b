//! `twocan pipe`: standard input to the other side, the other side to standard output, until both
//! have ended.

use super::recv::died;
use crate::cli::Pipe;
use crate::exit::{Exit, Failure, io_failure};
use crate::feed::{self, Feed, Framing};
use crate::open::{self, Wanted};
use crate::signals::Ending;
use crate::units;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use twocan::{Direction, RecvError, SendError, Sender, Until, Violation};

/// Longest piece in bytes: large enough that the cost of a piece vanishes, small against the
/// default ring.
const PIECE: usize = 128 << 10;

/// Progress is told this often, and not before this much time.
const PROGRESS: Duration = Duration::from_millis(500);

/// Runs the command.
pub(crate) fn run(args: &Pipe, quiet: bool) -> Result<(), Failure> {
    let (input, pieces) = feed::channel();
    let wake = input.clone();
    let ending = Ending::watch(move |_| feed::stop(&wake))?;
    let options = open::raw_options(&args.channel, "pipe", Direction::Both);
    let wanted = Wanted { name: &args.name, verb: "pipe", label: &args.channel.label };
    let channel = open::open(&options, wanted, |_| args.wait, None, &ending, quiet)?;
    let words = format!("waiting for the other side: twocan pipe {}", args.name);
    open::greet(&channel, quiet, &ending, &words);

    let (sender, receiver) = channel.into_split();
    let piece = PIECE.min(sender.max_loan()).min(sender.max_message());
    let stop = input.clone();
    feed::read_stdin(Framing::Chunks { len: piece }, input);
    let shared = Arc::new(Shared { progress: Progress::new(quiet), ..Shared::default() });
    let outgoing = {
        let (shared, ending) = (Arc::clone(&shared), ending.clone());
        thread::spawn(move || send(sender, &pieces, &shared, &ending))
    };
    let mut incoming = Incoming { receiver, shared: Arc::clone(&shared), count: 0, bytes: 0 };
    let end = incoming.run(&ending);

    // The sender's goodbye is part of the end: it has to stop wherever it waits.
    let interrupted = ending.signal();
    ending.cancel().cancel();
    feed::stop(&stop);
    let sent = outgoing.join().unwrap_or(Sent::Unread);
    shared.progress.end();
    let departed = incoming.receiver.departed();
    let died = died(&args.name, departed, incoming.count, incoming.bytes);
    let who = open::process(departed);
    drop(incoming);
    match (interrupted, end) {
        (Some(signal), _) => Err(Failure::signal(signal)),
        (_, End::Unwanted) => Ok(()),
        (_, End::Failed(e)) => Err(io_failure("standard output", &e)),
        (_, End::Died) => Err(Failure::new(Exit::PeerDied, died)),
        (_, End::Misbehaved(v)) => {
            let name = &args.name;
            let text = format!(
                "{name}: {who} wrote something that is no message ({v}). Conversation ended."
            );
            Err(Failure::new(Exit::Misbehaved, text))
        }
        (_, End::Other(e)) => Err(twocan::Error::from(e).into()),
        (_, End::Done | End::Left) => sent.into_result(&args.name, &who),
    }
}

/// What both directions look at.
#[derive(Default)]
struct Shared {
    /// The other side has said that nothing more comes.
    peer_finished: AtomicBool,
    /// Our input has ended, and all of it was taken.
    all_sent: AtomicBool,
    progress: Progress,
}

/// How the way out ended.
enum Sent {
    /// All was taken.
    All,
    /// Something of the input was not.
    Unread,
    /// The input could not be read.
    Failed(io::Error),
}

impl Sent {
    fn into_result(self, name: &str, who: &str) -> Result<(), Failure> {
        match self {
            Sent::All => Ok(()),
            Sent::Failed(e) => Err(io_failure("standard input", &e)),
            Sent::Unread => {
                let text = format!("{name}: {who} left before it had read everything.");
                Err(Failure::new(Exit::PeerLeft, text))
            }
        }
    }
}

/// The way out: until the input ends and everything was taken, or until somebody stops us.
fn send(
    mut sender: Sender,
    pieces: &mpsc::Receiver<Feed>,
    shared: &Shared,
    ending: &Ending,
) -> Sent {
    let mut failed = None;
    loop {
        match pieces.recv() {
            Ok(Feed::Item(piece)) => {
                if let Err(unread) = send_piece(&mut sender, &piece, ending) {
                    return unread;
                }
                shared.progress.sent(piece.len());
            }
            Ok(Feed::Stop) => {}
            Ok(Feed::End) | Err(_) => break,
            Ok(Feed::Failed(e)) => {
                failed = Some(e);
                break;
            }
        }
        if ending.cancel().is_cancelled() {
            return if sender.unacknowledged() == 0 { Sent::All } else { Sent::Unread };
        }
    }
    while let Some(last) = sender.sent().filter(|last| !sender.is_acknowledged(*last)) {
        match sender.wait_acknowledged(last, ending.cancel()) {
            Ok(()) => break,
            // Who went, and how, is told by the receiving half, in order with what it sent.
            Err(SendError::PeerClosed | SendError::PeerDied) => {}
            Err(_) => return Sent::Unread,
        }
    }
    sender.finish();
    shared.all_sent.store(true, Ordering::SeqCst);
    if shared.peer_finished.load(Ordering::SeqCst) {
        ending.cancel().cancel();
    }
    failed.map_or(Sent::All, Sent::Failed)
}

fn send_piece(sender: &mut Sender, piece: &[u8], ending: &Ending) -> Result<(), Sent> {
    loop {
        match sender.loan_until(piece.len(), ending.cancel()) {
            Ok(mut loan) => {
                loan.copy_from_slice(piece);
                loan.commit();
                return Ok(());
            }
            Err(SendError::PeerClosed | SendError::PeerDied) => {}
            Err(_) => return Err(Sent::Unread),
        }
    }
}

/// How the way in ended.
enum End {
    /// Both sides have finished.
    Done,
    /// The other side said goodbye.
    Left,
    Died,
    /// Nobody reads our standard output any more, or a signal came.
    Unwanted,
    Misbehaved(Violation),
    Failed(io::Error),
    Other(RecvError),
}

struct Incoming {
    receiver: twocan::Receiver,
    shared: Arc<Shared>,
    count: u64,
    bytes: u64,
}

impl Incoming {
    fn run(&mut self, ending: &Ending) -> End {
        let mut out = io::stdout().lock();
        let mut piece = Vec::new();
        loop {
            match self.receiver.recv_delivery_until(Until::from(ending.cancel())) {
                Ok(delivery) => {
                    piece.resize(delivery.len(), 0);
                    delivery.copy_to(&mut piece);
                    match out.write_all(&piece).and_then(|()| out.flush()) {
                        Ok(()) => delivery.acknowledge(),
                        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return End::Unwanted,
                        Err(e) => return End::Failed(e),
                    }
                    self.count += 1;
                    self.bytes += piece.len() as u64;
                    self.shared.progress.received(piece.len());
                }
                Err(RecvError::Finished) => {
                    drop(out);
                    crate::platform::close_stdout();
                    out = io::stdout().lock();
                    self.shared.peer_finished.store(true, Ordering::SeqCst);
                    if self.shared.all_sent.load(Ordering::SeqCst) {
                        return End::Done;
                    }
                }
                Err(RecvError::PeerClosed) => return End::Left,
                Err(RecvError::PeerDied) => return End::Died,
                Err(RecvError::Cancelled) => return End::Done,
                Err(RecvError::PeerMisbehaved(v)) => return End::Misbehaved(v),
                Err(e) => return End::Other(e),
            }
        }
    }
}

/// A line on the terminal that says how much has gone by; told by whoever moves bytes, so that
/// idling costs nothing.
struct Progress {
    shown: bool,
    start: Instant,
    /// Milliseconds since the start at which it was told last; 0 = not yet.
    told_ms: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new(true)
    }
}

impl Progress {
    fn new(quiet: bool) -> Progress {
        let talks = io::stdin().is_terminal() || io::stdout().is_terminal();
        Progress {
            shown: !quiet && !talks && io::stderr().is_terminal(),
            start: Instant::now(),
            told_ms: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }
    }

    fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.tell();
    }

    fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        if !self.shown {
            return;
        }
        let now = self.start.elapsed();
        let (now_ms, told) = (now.as_millis() as u64, self.told_ms.load(Ordering::Relaxed));
        let due = now_ms >= told + PROGRESS.as_millis() as u64;
        let won = due
            && self
                .told_ms
                .compare_exchange(told, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            let sent = self.sent.load(Ordering::Relaxed);
            let received = self.received.load(Ordering::Relaxed);
            let rate = ((sent + received) as f64 / now.as_secs_f64()) as u64;
            let _ = write!(
                io::stderr(),
                "\r{} sent, {} received, {}/s\x1b[K",
                units::bytes_in_words(sent),
                units::bytes_in_words(received),
                units::bytes_in_words(rate)
            );
        }
    }

    fn end(&self) {
        if self.told_ms.load(Ordering::Relaxed) != 0 {
            crate::tell("");
        }
    }
}
