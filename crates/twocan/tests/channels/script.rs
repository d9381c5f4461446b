//! The peer's side: does what a line says, answers with one line. Errors begin with `!`.
//!
//! A line may begin with a handle and a colon (`x: recv`): a process can hold several ends.

use crate::support::{listen, say};
use crate::words::*;
use std::collections::HashMap;
use std::time::Duration;
use twocan::*;

#[derive(Default)]
struct Actor {
    cans: HashMap<String, Can>,
    watched: Option<PeerChange>,
    last: Option<Seq>,
}

pub fn play() {
    let mut actor = Actor::default();
    while let Some(line) = listen() {
        let answer = actor.act(&line);
        say(&answer.replace('\n', "\\n"));
    }
}

impl Actor {
    fn act(&mut self, line: &str) -> String {
        let (handle, command) = match line.split_once(": ") {
            Some((handle, command)) if !handle.contains(' ') => (handle, command),
            _ => ("", line),
        };
        let words: Vec<&str> = command.split(' ').filter(|w| !w.is_empty()).collect();
        match words[..] {
            ["open", name, ref opts @ ..] => {
                let opened = options(opts).open(name);
                self.seat(handle, opened)
            }
            ["open-until", time, name, ref opts @ ..] => {
                let opened = options(opts).open_until(name, ms(time));
                self.seat(handle, opened)
            }
            ["drop"] => {
                self.cans.remove(handle);
                "ok".into()
            }
            ["close"] => self.close(handle, LONG),
            ["close-for", time] => self.close(handle, ms(time)),
            ["split"] => {
                if let Some(Can::Whole(channel)) = self.cans.remove(handle) {
                    let (tx, rx) = channel.into_split();
                    self.cans.insert(handle.into(), Can::Split(Some(tx), Some(rx)));
                }
                "ok".into()
            }
            ["panic"] => self.panic(handle),
            ["fork"] => fork(self.can(handle)),
            ["fork-unseen"] => fork_unseen(),
            _ => self.process(&words).unwrap_or_else(|| self.speak(handle, &words)),
        }
    }

    fn can(&mut self, handle: &str) -> &mut Can {
        self.cans.get_mut(handle).expect("no such end")
    }

    fn seat(&mut self, handle: &str, opened: Result<Channel>) -> String {
        match opened {
            Ok(channel) => {
                self.cans.insert(handle.into(), Can::Whole(channel));
                "ok".into()
            }
            Err(e) => format!("!{e}"),
        }
    }

    fn close(&mut self, handle: &str, time: Duration) -> String {
        let Some(Can::Whole(channel)) = self.cans.remove(handle) else { return "!no end".into() };
        match channel.close_until(time) {
            Ok(()) => "ok".into(),
            Err(e) => format!("!{:?} {e}", e.reason),
        }
    }

    /// A thread that holds the end panics.
    fn panic(&mut self, handle: &str) -> String {
        let can = self.cans.remove(handle);
        std::panic::set_hook(Box::new(|_| {}));
        let thread = std::thread::spawn(move || {
            let _held = can;
            panic!("as told");
        });
        format!("panicked: {}", thread.join().is_err())
    }

    /// What concerns the process and not one end.
    fn process(&mut self, words: &[&str]) -> Option<String> {
        Some(match words {
            ["sleep", time] => {
                std::thread::sleep(ms(time));
                "ok".into()
            }
            ["exit", code] => std::process::exit(number(code) as i32),
            ["abort"] => std::process::abort(),
            ["sweep"] => told(MemoryMap::create_new("swept", 1)),
            ["seq"] => self.last.map_or("none".into(), |seq| seq.to_string()),
            ["descriptors"] => std::fs::read_dir("/proc/self/fd").unwrap().count().to_string(),
            ["mappings"] => {
                let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
                maps.lines().filter(|l| l.contains("memfd:twocan")).count().to_string()
            }
            _ => return None,
        })
    }

    fn speak(&mut self, handle: &str, words: &[&str]) -> String {
        let can = self.cans.get_mut(handle).expect("no such end");
        match words {
            ["send", rest @ ..] => done(can.send(rest.join(" ").as_bytes(), LONG.into())),
            ["send-for", time, rest @ ..] => {
                done(can.send(rest.join(" ").as_bytes(), ms(time).into()))
            }
            ["try-send", rest @ ..] => done(can.tx().try_send(rest.join(" "))),
            ["long", len, seed] => {
                done(can.send(&pattern(number(len), number(seed) as u64), LONG.into()))
            }
            ["long-for", time, len, seed] => {
                done(can.send(&pattern(number(len), number(seed) as u64), ms(time).into()))
            }
            ["flood", len] => {
                let bytes = vec![b'f'; number(len)];
                let mut sent = 0;
                loop {
                    match can.tx().try_send(&bytes) {
                        Ok(_) => sent += 1,
                        Err(e) => return format!("{sent} !{e:?}"),
                    }
                }
            }
            ["batch", rest @ ..] => match can.tx().send_batch(rest) {
                Ok(n) => n.to_string(),
                Err(e) => format!("!{e:?}"),
            },
            ["ping", rounds] => trips(rounds, |text| {
                can.send(text, LONG.into()).map_err(|e| format!("{e:?}"))?;
                let answer = can.rx().recv_timeout(LONG).map_err(|e| format!("{e:?}"))?;
                if &*answer == text { Ok(()) } else { Err("another answer".into()) }
            }),
            ["echo", rounds] => trips(rounds, |_| {
                let heard = can.rx().recv_timeout(LONG).map_err(|e| format!("{e:?}"))?;
                can.send(&heard, LONG.into()).map(|_| ()).map_err(|e| format!("{e:?}"))
            }),
            ["stream", rounds, len] => {
                let bytes = vec![b's'; number(len)];
                trips(rounds, |_| {
                    can.send(&bytes, LONG.into()).map(|_| ()).map_err(|e| format!("{e:?}"))
                })
            }
            ["count", rounds] => trips(rounds, |_| {
                can.rx().recv_timeout(LONG).map(|_| ()).map_err(|e| format!("{e:?}"))
            }),
            ["both", len, out, back] => {
                let (out, back) = (number(out) as u64, number(back) as u64);
                self.both(handle, number(len), out, back)
            }
            _ => self.ask(handle, words),
        }
    }

    /// What it knows, and halves.
    fn ask(&mut self, handle: &str, words: &[&str]) -> String {
        let can = self.can(handle);
        match words {
            ["unacknowledged"] => can.tx().unacknowledged().to_string(),
            ["discard"] => can.tx().discard_unacknowledged().to_string(),
            ["acknowledged"] => {
                let tx = can.tx();
                tx.sent().is_some_and(|seq| tx.is_acknowledged(seq)).to_string()
            }
            ["wait-acknowledged"] => {
                let tx = can.tx();
                let seq = tx.sent().expect("nothing was sent");
                done(tx.wait_acknowledged(seq, LONG))
            }
            ["sent-seq"] => can.tx().sent().map_or("none".into(), |seq| seq.to_string()),
            ["peer"] => can.tx().peer().map_or("nobody".into(), |p| p.nick().to_owned()),
            ["peer-pid"] => format!("{:?}", can.tx().peer().and_then(|p| p.pid())),
            ["wait-peer"] => {
                let Can::Whole(channel) = can else { return "!split".into() };
                told(channel.wait_peer(LONG))
            }
            ["finish"] => match can {
                Can::Split(tx, _) => {
                    tx.take().expect("the sending half is gone").finish();
                    "ok".into()
                }
                Can::Whole(_) => "!not split".into(),
            },
            ["drop-rx"] => match can {
                Can::Split(_, rx) => {
                    rx.take();
                    "ok".into()
                }
                Can::Whole(_) => "!not split".into(),
            },
            _ => self.take(handle, words),
        }
    }

    /// Receiving and waiting.
    fn take(&mut self, handle: &str, words: &[&str]) -> String {
        let can = self.cans.get_mut(handle).expect("no such end");
        let message = match words {
            ["recv"] => can.rx().recv_timeout(LONG),
            ["recv-for", time] => can.rx().recv_timeout(ms(time)),
            ["recv-forever"] => can.rx().recv(),
            ["try-recv"] => can.rx().try_recv(),
            ["recv-cancel", time] => {
                let (cancel, time) = (Cancel::new(), ms(time));
                let other = cancel.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(time);
                    other.cancel();
                });
                can.rx().recv_until(&cancel)
            }
            ["recv-long", len, seed] => {
                let expected = pattern(number(len), number(seed) as u64);
                return match can.rx().recv_timeout(LONG) {
                    Ok(m) if *m == expected[..] => {
                        self.last = Some(m.seq());
                        "ok".into()
                    }
                    Ok(m) => format!("!another message, of {} bytes", m.len()),
                    Err(e) => format!("!{e:?}"),
                };
            }
            ["delivery", fate] => {
                let delivery = match can.rx().recv_delivery_until(LONG) {
                    Ok(delivery) => delivery,
                    Err(e) => return format!("!{e:?}"),
                };
                let mut bytes = vec![0; delivery.len()];
                delivery.copy_to(&mut bytes);
                self.last = Some(delivery.seq());
                match *fate {
                    "take" => delivery.acknowledge(),
                    _ => drop(delivery),
                }
                return text(&bytes);
            }
            ["in"] => return incoming(can.rx().recv_incoming(LONG)),
            ["try-in"] => return incoming(can.rx().recv_incoming(Until::now())),
            ["ack"] => {
                can.rx().ack();
                return "ok".into();
            }
            ["watch"] => {
                self.watched = Some(can.rx().peer_change());
                return "ok".into();
            }
            ["wait-any", time, what @ ..] => return self.wait_any(handle, ms(time), what),
            _ => return format!("!no such command: {words:?}"),
        };
        match message {
            Ok(m) => {
                self.last = Some(m.seq());
                text(&m)
            }
            Err(e) => format!("!{e:?}"),
        }
    }

    /// Waits for one of: `message`, `room=LEN`, `acknowledged` (the last that was sent), `change`
    /// (since `watch`).
    fn wait_any(&mut self, handle: &str, time: Duration, what: &[&str]) -> String {
        let (tx, rx) = match self.cans.get_mut(handle).expect("no such end") {
            Can::Whole(channel) => channel.split(),
            Can::Split(Some(tx), Some(rx)) => (tx, rx),
            Can::Split(..) => return "!half an end".into(),
        };
        let (tx, rx) = (&*tx, &*rx);
        let things: Vec<Box<dyn Waitable + '_>> = what
            .iter()
            .map(|word| -> Box<dyn Waitable + '_> {
                match word.split_once('=').unwrap_or((word, "")) {
                    ("room", len) => Box::new(tx.room(number(len))),
                    ("acknowledged", _) => {
                        Box::new(tx.acknowledged_past(tx.sent().expect("nothing was sent")))
                    }
                    ("change", _) => Box::new(self.watched.take().expect("watch first")),
                    _ => panic!("no such condition: {word}"),
                }
            })
            .collect();
        let mut all: Vec<&dyn Waitable> = vec![rx];
        all.extend(things.iter().map(|thing| &**thing));
        match wait_any(&all, time) {
            Ok(Some(0)) => "message".into(),
            Ok(Some(n)) => what[n - 1].into(),
            Ok(None) => "nothing".into(),
            Err(e) => format!("!{e}"),
        }
    }

    /// Sends one long message and receives another at the same time, on two threads.
    fn both(&mut self, handle: &str, len: usize, out: u64, back: u64) -> String {
        let Some(Can::Whole(channel)) = self.cans.remove(handle) else { return "!no end".into() };
        let (mut tx, mut rx) = channel.into_split();
        let sender = std::thread::spawn(move || {
            let sent = tx.send_timeout(pattern(len, out), LONG).map(|_| ());
            (tx, sent)
        });
        let received = rx.recv_timeout(LONG);
        rx.ack();
        let (tx, sent) = sender.join().expect("the sending thread");
        self.cans.insert(handle.into(), Can::Split(Some(tx), Some(rx)));
        match (sent, received) {
            (Ok(()), Ok(m)) if *m == pattern(len, back)[..] => "ok".into(),
            (Ok(()), Ok(m)) => format!("!another message, of {} bytes", m.len()),
            (sent, received) => format!("!sent {sent:?}, received {:?}", received.map(|m| m.len())),
        }
    }
}
