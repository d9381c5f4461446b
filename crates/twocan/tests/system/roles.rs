//! What children do. Roles that begin with a change of the process play another role inside it.

use crate::support::{LONG, say, stay};
use crate::{clocks, crowds, guest, jail, lives, refused, sandbox, shortage, spaces, swept, users};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use twocan::{Channel, Error, Event, MemoryMap, RecvError, Reset, Spin, Until, wait_any};

/// A child that lives longer hangs.
const ALARM_SECONDS: u32 = 60;

/// For two ends that may never meet: a system that refuses handshakes refuses them for ever.
pub const BRIEF: Duration = Duration::from_millis(500);

pub fn play(args: &[&str]) {
    jail::alarm(ALARM_SECONDS);
    run(args);
}

fn run(args: &[&str]) {
    match *args {
        ["patient", seconds, ref rest @ ..] => {
            jail::alarm(seconds.parse().unwrap());
            run(rest);
        }
        ["refuse", what, errno, ref rest @ ..] => {
            refused::install(what, errno.parse().unwrap());
            run(rest);
        }
        ["inside", spaces, ref rest @ ..] => inside(spaces, rest),
        ["echo", name] => echo(name),
        ["everything", tag] => say(&report(&everything(tag, LONG))),
        ["a little of everything", tag] => say(&report(&everything(tag, BRIEF))),
        [room, ref rest @ ..] => {
            let known = match room {
                "clocks" => clocks::play(rest),
                "crowds" => crowds::play(rest),
                "guest" => guest::play(rest),
                "lives" => lives::play(rest),
                "refused" => refused::play(rest),
                "sandbox" => sandbox::play(rest),
                "shortage" => shortage::play(rest),
                "spaces" => spaces::play(rest),
                "swept" => swept::play(rest),
                "users" => users::play(rest),
                _ => false,
            };
            assert!(known, "no such role: {args:?}");
        }
        [] => panic!("no role"),
    }
}

/// Plays the rest in a child of its own, inside other namespaces: p(id), n(et), t(ime).
fn inside(spaces: &str, rest: &[&str]) {
    let flag = |c| match c {
        'p' => libc::CLONE_NEWPID,
        'n' => libc::CLONE_NEWNET,
        't' => 0x80, // CLONE_NEWTIME
        _ => panic!("{c}: no such namespace"),
    };
    if let Err(e) = jail::leave(spaces.chars().map(flag).sum()) {
        return say(&format!("skip namespaces are not given ({e})"));
    }
    if spaces.contains('t') {
        // By different amounts: who mistakes one of the two for the other is found out.
        let ahead = "monotonic 1000000 0\nboottime 3000000 0\n";
        // SAFETY: no memory.
        let thread = unsafe { libc::gettid() };
        if let Err(e) = std::fs::write(format!("/proc/{thread}/timens_offsets"), ahead) {
            return say(&format!("skip the clock of a namespace cannot be set ({e})"));
        }
    }
    let mut command = again(rest);
    // SAFETY: a plain system call between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
    let status = command.status().unwrap();
    assert!(status.success(), "inside: {status}");
}

/// This program once more, in a role, with this process's input and output.
pub fn again(role: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("TWOCAN_TEST_ROLE", role.join("\u{1f}"));
    command
}

/// A thread ends this process when its input does.
pub fn leave_with_the_input() {
    std::thread::spawn(|| {
        stay();
        std::process::exit(0);
    });
}

/// Sends back whatever comes.
fn echo(name: &str) {
    let mut end = match Channel::options().spin(Spin::Never).open(name) {
        Ok(end) => end,
        Err(e) => return say(&format!("{:?} {e}", e.kind())),
    };
    say("open");
    answer(&mut end);
}

/// Sends back whatever comes, and says who goes.
pub fn answer(end: &mut Channel) {
    leave_with_the_input();
    loop {
        match end.recv() {
            Ok(message) => drop(end.send(&*message).unwrap()),
            Err(RecvError::PeerClosed) => say("closed"),
            Err(RecvError::PeerDied) => say("died"),
            Err(e) => return say(&format!("{e}")),
        }
    }
}

/// The other side of an echo: now one after the other without a pause, now after both have gone to
/// sleep.
pub fn converse(end: &mut Channel, rounds: u32) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    for i in 0..rounds {
        if i % 8 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        end.send_timeout(n.to_le_bytes(), LONG).unwrap();
        let mut answer = end.recv_timeout(LONG).unwrap().read::<u32>().unwrap();
        if i == 0 && answer != n {
            // What a killed echo had not acknowledged is answered by its successor as well.
            answer = end.recv_timeout(LONG).unwrap().read::<u32>().unwrap();
        }
        assert_eq!(answer, n);
    }
}

type Outcome = (&'static str, Result<(), Error>);

/// Makes and uses one of each kind. Whatever the system does to us, each either works or says why
/// not, and leaves nothing.
pub fn everything(tag: &str, patience: Duration) -> Vec<Outcome> {
    vec![
        ("map", map(&format!("{tag}-map"))),
        ("anonymous-map", MemoryMap::anonymous(10_000).and_then(|m| m.view()?.write(0, "x"))),
        ("event", event(Event::create_new(&format!("{tag}-event"), Reset::Auto))),
        ("anonymous-event", event(Event::anonymous(Reset::Manual))),
        ("wait-any", any()),
        ("pair", pair()),
        ("invite", Channel::invite().map(drop)),
        ("open", two_seats(&format!("{tag}-channel"), patience)),
    ]
}

/// "map=ok event=NoSpace ..."; every error says something, in one sentence.
pub fn report(outcomes: &[Outcome]) -> String {
    let word = |(what, outcome): &Outcome| match outcome {
        Ok(()) => format!("{what}=ok"),
        Err(e) => {
            let text = e.to_string();
            assert!(text.len() > 10 && text.ends_with(['.', ')']), "{what}: {text:?}");
            format!("{what}={:?}", e.kind())
        }
    };
    outcomes.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn map(name: &str) -> Result<(), Error> {
    let map = MemoryMap::create_new(name, 10_000)?;
    map.view()?.write(9_990, "ten bytes!")?;
    let opened = MemoryMap::open_existing(name)?;
    assert_eq!(opened.view()?.read::<[u8; 10]>(9_990)?, *b"ten bytes!");
    Ok(())
}

fn event(event: Result<Event, Error>) -> Result<(), Error> {
    let event = event?;
    event.set()?;
    assert!(event.wait_timeout(LONG)?);
    event.reset()?;
    assert!(!event.wait_timeout(Duration::from_millis(1))?);
    Ok(())
}

/// Two words at once, asleep and then woken by a thread (or, if there is none, before).
fn any() -> Result<(), Error> {
    let (one, two) = (Event::anonymous(Reset::Auto)?, Event::anonymous(Reset::Auto)?);
    assert_eq!(wait_any(&[&one, &two], Until::from(Duration::from_millis(5)))?, None);
    std::thread::scope(|scope| {
        let late = || {
            std::thread::sleep(Duration::from_millis(20));
            two.set()
        };
        match std::thread::Builder::new().spawn_scoped(scope, late) {
            Ok(_) => {}
            Err(_) => two.set()?,
        }
        assert_eq!(wait_any(&[&one, &two], LONG)?, Some(1));
        Ok(())
    })
}

fn pair() -> Result<(), Error> {
    let (mut a, mut b) = Channel::pair()?;
    hand_over(&mut a, &mut b)
}

fn hand_over(a: &mut Channel, b: &mut Channel) -> Result<(), Error> {
    a.send("there")?;
    assert_eq!(&*b.recv_timeout(LONG)?, b"there");
    b.send("back")?;
    assert_eq!(&*a.recv_timeout(LONG)?, b"back");
    Ok(())
}

fn two_seats(name: &str, patience: Duration) -> Result<(), Error> {
    let mut a = Channel::open(name)?;
    let mut b = Channel::open(name)?;
    a.wait_peer(patience)?;
    b.wait_peer(patience)?;
    hand_over(&mut a, &mut b)
}
