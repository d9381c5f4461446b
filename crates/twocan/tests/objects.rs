//! Named maps between real processes: lengths, names, lifetimes, errors.

mod support;

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::Ordering;
use support::{Child, TempDir, eventually, listen, say, stay, unique};
use twocan::{Access, Error, ErrorKind, Event, MemoryMap, Reset};

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let Some(words) = support::role() else { return };
    let args: Vec<&str> = words.iter().map(String::as_str).collect();
    match args[..] {
        ["hold", name, text] => {
            let map = MemoryMap::create_new(name, 10_000).unwrap();
            map.view().unwrap().write(0, text).unwrap();
            say("held");
            stay();
        }
        ["read", name] => {
            let bytes = MemoryMap::open_existing(name).unwrap().view().unwrap();
            let text = String::from_utf8(bytes.read_vec(..).unwrap()).unwrap();
            say(text.trim_end_matches('\0'));
        }
        ["race", name] => race(name),
        ["flicker", name] => flicker(name),
        _ => panic!("no such role: {args:?}"),
    }
}

/// Tries to make the map each time it is told to, and says how it went.
fn race(name: &str) {
    let mut held = None;
    say("ready");
    while let Some(order) = listen() {
        match order.as_str() {
            "go" => match MemoryMap::create_new(name, 1 << 20) {
                Ok(map) => {
                    held = Some(map);
                    say("won");
                }
                Err(e) => say(&format!("{:?}", e.kind())),
            },
            _ => {
                held = None;
                say("let go");
            }
        }
    }
    drop(held);
}

/// Makes and drops an event and a map of one length as fast as it can.
fn flicker(name: &str) {
    say("ready");
    loop {
        drop(Event::create_or_open(&format!("{name}-e"), Reset::Manual).unwrap());
        drop(MemoryMap::create_or_open(&format!("{name}-m"), 12_345).unwrap());
    }
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn one_program_writes_a_text_and_the_other_reads_it() {
    let name = unique("cat");
    let mut writer = Child::start("hold", &[&name, "HI Night Mo."]);
    writer.expect("held");
    let mut reader = Child::start("read", &[&name]);
    reader.expect("HI Night Mo.");
    reader.finish();
    writer.finish();
    assert_eq!(kind(MemoryMap::open_existing(&name)), ErrorKind::NotFound);
}

#[test]
fn a_name_dies_with_a_killed_holder() {
    // For each of the three ways to ask for the name afterwards.
    for ask in 0..3 {
        let name = unique("killed");
        let mut holder = Child::start("hold", &[&name, "old"]);
        holder.expect("held");
        assert_eq!(MemoryMap::open_existing(&name).unwrap().len(), 10_000);
        holder.kill();
        let map = match ask {
            0 => MemoryMap::create_new(&name, 77).unwrap(),
            1 => MemoryMap::create_or_open(&name, 77).unwrap(),
            _ => {
                assert_eq!(kind(MemoryMap::open_existing(&name)), ErrorKind::NotFound);
                continue;
            }
        };
        assert!(map.was_created());
        assert_eq!((map.len(), map.view().unwrap().read_vec(..3).unwrap()), (77, vec![0; 3]));
    }
    // An event under the name of a dead map, and the other way round.
    let name = unique("other-kind");
    let mut holder = Child::start("hold", &[&name, "old"]);
    holder.expect("held");
    assert_eq!(kind(Event::create_new(&name, Reset::Auto)), ErrorKind::WrongKind);
    holder.kill();
    assert!(Event::create_new(&name, Reset::Auto).is_ok());
}

#[test]
fn a_map_outlives_its_maker_with_its_last_holder() {
    let name = unique("outlive");
    let mut maker = Child::start("hold", &[&name, "still here"]);
    maker.expect("held");
    let map = MemoryMap::open_existing(&name).unwrap();
    maker.kill();
    // A view alone keeps the name.
    let view = map.view().unwrap();
    drop(map);
    let mut reader = Child::start("read", &[&name]);
    reader.expect("still here");
    reader.finish();
    let error = MemoryMap::create_new(&name, 1).unwrap_err();
    // (Another test's child may show our descriptors too, until it has started its program.)
    assert!(error.holders().iter().any(|h| h.pid() == Some(std::process::id())));
    drop(view);
    assert_eq!(kind(MemoryMap::open_existing(&name)), ErrorKind::NotFound);
}

#[test]
fn texts_of_the_errors() {
    let name = unique("texts");
    assert_eq!(
        MemoryMap::open_existing(&name).unwrap_err().to_string(),
        format!(
            "there is no map named {name}. A map lives while somebody holds it:\n        \
             twocan map create {name} 10000          (twocan ls shows what there is)"
        )
    );
    let mut holder = Child::start("hold", &[&name, ""]);
    holder.expect("held");
    let pid = holder.pid();
    let error = MemoryMap::create_new(&name, 5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(
        error.to_string(),
        format!(
            "a map named {name} exists, held by pid {pid}. Use another name, or read it: \
             twocan map read {name}"
        )
    );
    assert_eq!((error.name(), error.holders()[0].pid()), (Some(name.as_str()), Some(pid)));
    let wrong = Event::open_existing(&name).unwrap_err();
    assert_eq!(wrong.cause(), format!("{name} is a map, not an event"));
    let small = MemoryMap::create_or_open(&name, 10_001).unwrap_err();
    assert_eq!(small.kind(), ErrorKind::TooSmall { has: 10_000, asked: 10_001 });
    let larger = MemoryMap::create_or_open(&name, 9_999).unwrap();
    assert_eq!((larger.len(), larger.was_created()), (10_000, false));
    let view = larger.view().unwrap();
    assert_eq!(
        view.write(9_995, "twelve bytes").unwrap_err().to_string(),
        format!("the map {name} has 10000 bytes; 9995..10007 is outside it.")
    );
    let empty = MemoryMap::create_new(&unique("zero"), 0).unwrap_err();
    assert_eq!(empty.to_string(), "a map needs at least 1 byte.");
    assert_eq!(kind(MemoryMap::anonymous(0)), ErrorKind::InvalidInput);
    assert_eq!(kind(MemoryMap::create_new("a\\b", 1)), ErrorKind::InvalidName);
    assert_eq!(kind(MemoryMap::create_new(&unique("huge"), u64::MAX)), ErrorKind::InvalidInput);
    assert_eq!(kind(MemoryMap::create_new(&unique("huge"), 1 << 60)), ErrorKind::NoSpace);
}

#[test]
fn three_processes_race_for_one_name() {
    let races = std::env::var("TWOCAN_RACES").map_or(40, |n| n.parse().unwrap());
    let name = unique("race");
    let mut racers: Vec<Child> = (0..3).map(|_| Child::start("race", &[&name])).collect();
    racers.iter_mut().for_each(|r| r.expect("ready"));
    for round in 0..races {
        racers.iter_mut().for_each(|r| r.tell("go"));
        // Meanwhile: nothing, or a whole one.
        if let Ok(map) = MemoryMap::open_existing(&name) {
            assert_eq!(map.len(), 1 << 20);
        }
        let answers: Vec<String> = racers.iter_mut().map(Child::hear).collect();
        let won = answers.iter().filter(|a| *a == "won").count();
        let refused = answers.iter().filter(|a| *a == "AlreadyExists").count();
        assert_eq!((won, refused), (1, 2), "round {round}: {answers:?}");
        racers.iter_mut().for_each(|r| r.tell("let go"));
        racers.iter_mut().for_each(|r| r.expect("let go"));
        assert_eq!(kind(MemoryMap::open_existing(&name)), ErrorKind::NotFound);
    }
    println!("trust: create-race: {races} races of 3, one winner each");
}

#[test]
fn objects_that_come_and_go_are_never_seen_half_made() {
    let name = unique("flicker");
    let makers: Vec<Child> = (0..2)
        .map(|_| {
            let mut maker = Child::start("flicker", &[&name]);
            maker.expect("ready");
            maker
        })
        .collect();
    let (mut maps, mut events) = (0, 0);
    for _ in 0..3000 {
        match MemoryMap::open_existing(&format!("{name}-m")) {
            Ok(map) => {
                assert_eq!(map.len(), 12_345);
                maps += 1;
            }
            Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
        }
        match Event::open_existing(&format!("{name}-e")) {
            Ok(_) => events += 1,
            Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{e}"),
        }
    }
    assert!(maps > 0 && events > 0, "never met: {maps} {events}");
    makers.into_iter().for_each(Child::kill);
    // Whatever the killed left is removed on the next look.
    assert_eq!(kind(MemoryMap::open_existing(&format!("{name}-m"))), ErrorKind::NotFound);
    assert_eq!(kind(Event::open_existing(&format!("{name}-e"))), ErrorKind::NotFound);
}

#[test]
fn lengths_are_exact() {
    for len in [1, 2, 4095, 4096, 4097, 10_000] {
        let name = unique("len");
        let map = MemoryMap::create_new(&name, len).unwrap();
        let other = MemoryMap::open_existing(&name).unwrap();
        assert_eq!((map.len(), other.len()), (len, len));
        let (a, b) = (map.view().unwrap(), other.view().unwrap());
        let last = len as usize - 1;
        a.write(last, &0xAB_u8).unwrap();
        assert_eq!(b.read::<u8>(last).unwrap(), 0xAB);
        assert_eq!(b.len(), len as usize);
        assert_eq!(kind(b.read::<u8>(last + 1)), ErrorKind::OutOfRange);
        assert_eq!(kind(b.read::<u64>(usize::MAX)), ErrorKind::OutOfRange);
        assert_eq!(kind(a.write(last, &0_u16)), ErrorKind::OutOfRange);
        assert_eq!(kind(map.view_range(..len + 1)), ErrorKind::OutOfRange);
        assert_eq!(kind(map.view_range(len..)), ErrorKind::InvalidInput);
    }
}

#[test]
fn views_begin_anywhere() {
    let map = MemoryMap::anonymous(20_000).unwrap();
    let whole = map.view().unwrap();
    for (start, end) in [(0_u64, 1_u64), (1, 9), (4095, 4097), (5000, 20_000), (19_999, 20_000)] {
        let view = map.view_range(start..end).unwrap();
        assert_eq!(view.len() as u64, end - start);
        view.fill(.., start as u8 | 1).unwrap();
        assert_eq!(whole.read::<u8>(start as usize).unwrap(), start as u8 | 1);
        assert_eq!(whole.read::<u8>(end as usize - 1).unwrap(), start as u8 | 1);
        assert_eq!(kind(view.fill(..=(end - start) as usize, 0)), ErrorKind::OutOfRange);
    }
    let part = map.view_range(100..=109).unwrap();
    let error = part.read::<u64>(5).unwrap_err();
    assert_eq!(error.to_string(), "this view of the map has 10 bytes; 5..13 is outside it.");
    assert!(whole.read_vec(..0).unwrap().is_empty());
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is tried")]
    let reversed = whole.read_vec(7..3);
    assert_eq!(kind(reversed), ErrorKind::OutOfRange);
}

#[test]
fn values_slices_texts_and_atomics() {
    let view = MemoryMap::anonymous(4096).unwrap().view().unwrap();
    view.write(1, &[1_u32, 2, 3]).unwrap();
    assert_eq!(view.read::<[u32; 3]>(1).unwrap(), [1, 2, 3]);
    let mut two = [0_u32; 2];
    view.read_into(5, &mut two[..]).unwrap();
    assert_eq!(two, [2, 3]);
    view.write(100, &2_u8).unwrap();
    assert_eq!(kind(view.try_read::<bool>(100)), ErrorKind::InvalidInput);
    view.write(100, &true).unwrap();
    assert!(view.try_read::<bool>(100).unwrap());
    view.atomic_u32(8).unwrap().store(9, Ordering::SeqCst);
    assert_eq!(view.atomic_u64(8).unwrap().load(Ordering::SeqCst) as u32, 9);
    let error = view.atomic_u32(6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned);
    assert_eq!(error.to_string(), "6 is no multiple of 4 bytes in the map.");
    assert_eq!(kind(view.atomic_u64(4096)), ErrorKind::OutOfRange);
    let big: Vec<u8> = (0..4096).map(|i| i as u8).collect();
    view.write(0, &big[..]).unwrap();
    assert_eq!(view.read_vec(..).unwrap(), big);
}

#[test]
fn access_is_kept() {
    let name = unique("access");
    let map = MemoryMap::create_new(&name, 100).unwrap();
    let view = map.view().unwrap();
    view.write(0, "shared").unwrap();
    let reader = MemoryMap::options().access(Access::Read).open_existing(&name).unwrap();
    let refused = reader.view().unwrap().write(0, "x").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    assert_eq!(refused.cause(), format!("this view of the map {name} is for reading only"));
    assert_eq!(kind(reader.view().unwrap().atomic_u32(0)), ErrorKind::PermissionDenied);
    assert_eq!(kind(reader.view_with(.., Access::ReadWrite)), ErrorKind::PermissionDenied);
    assert_eq!(kind(map.view_with(.., Access::ReadExecute)), ErrorKind::PermissionDenied);
    let own = reader.view_with(.., Access::CopyOnWrite).unwrap();
    own.write(0, "mine  ").unwrap();
    assert_eq!(own.read_vec(..6).unwrap(), b"mine  ");
    assert_eq!(view.read_vec(..6).unwrap(), b"shared");
    assert_eq!(map.view_with(3.., Access::Read).unwrap().read_vec(..3).unwrap(), b"red");
}

#[test]
fn a_stream_ends_exactly_at_the_length() {
    let map = MemoryMap::anonymous(10).unwrap();
    let mut stream = map.stream().unwrap();
    assert_eq!(stream.write(b"0123456").unwrap(), 7);
    assert_eq!(stream.write(b"789abc").unwrap(), 3);
    assert_eq!(stream.write(b"d").unwrap(), 0);
    assert_eq!(stream.write_all(b"d").unwrap_err().kind(), std::io::ErrorKind::WriteZero);
    assert_eq!(stream.seek(SeekFrom::End(-4)).unwrap(), 6);
    let mut rest = Vec::new();
    assert_eq!(stream.read_to_end(&mut rest).unwrap(), 4);
    assert_eq!(rest, b"6789");
    assert_eq!(stream.seek(SeekFrom::Start(99)).unwrap(), 99);
    assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0);
    assert!(stream.seek(SeekFrom::Current(-100)).is_err());
    assert_eq!(stream.stream_position().unwrap(), 99);
    assert_eq!(stream.into_inner().len(), 10);
}

#[test]
fn files_are_mapped_and_grow() {
    let dir = TempDir::new("file");
    let path = dir.0.join("data");
    assert_eq!(kind(MemoryMap::from_file(&path)), ErrorKind::Os);
    std::fs::write(&path, b"").unwrap();
    assert_eq!(kind(MemoryMap::from_file(&path)), ErrorKind::InvalidInput);
    assert_eq!(kind(MemoryMap::from_file(&dir.0)), ErrorKind::Os);
    std::fs::write(&path, b"hello").unwrap();
    let map = MemoryMap::from_file(&path).unwrap();
    assert_eq!((map.len(), map.name(), map.was_created()), (5, None, false));
    let grown = MemoryMap::options().from_file(&path, Some(9)).unwrap();
    assert!(grown.was_created());
    let view = grown.view().unwrap();
    view.write(5, " you").unwrap();
    view.flush().unwrap();
    view.flush_range(2..3).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello you");
    let mut options = MemoryMap::options();
    let part = options.access(Access::Read).from_file(&path, Some(4)).unwrap();
    assert_eq!(part.view().unwrap().read_vec(..).unwrap(), b"hell");
}

#[test]
fn what_there_is_can_be_listed() {
    let name = unique("list");
    let (map_name, event_name) = (format!("{name}/map"), format!("{name}%event"));
    let map = MemoryMap::create_new(&map_name, 123).unwrap();
    let event = Event::create_new(&event_name, Reset::Auto).unwrap();
    let listed = twocan::list().unwrap();
    let find = |name: &str| listed.iter().find(|l| l.name == name).unwrap().clone();
    let (a, b) = (find(&map_name), find(&event_name));
    assert_eq!((a.kind, a.len), (twocan::ListedKind::Map, Some(123)));
    assert_eq!((b.kind, b.len), (twocan::ListedKind::Event, None));
    assert!(a.holders.contains(&std::process::id()));
    drop((map, event));
    let gone = |l: &[twocan::Listed]| l.iter().all(|l| !l.name.starts_with(&name));
    eventually("both are gone from the list", || gone(&twocan::list().unwrap()));
}
