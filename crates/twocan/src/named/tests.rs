use super::sweep::sweep;
use super::*;
use crate::sys::permission::Permission;
use crate::{Scope, Sharing};
use std::sync::atomic::{AtomicU32, Ordering};

fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{what}-{}-{n}", std::process::id())
}

/// Puts a file there that nobody holds, as a killed program leaves it.
fn corpse(dir: &Directory, file_name: &str) {
    std::fs::write(dir.path().join(file_name), b"dead").unwrap();
}

#[test]
fn sizes_for_people() {
    for (bytes, free, needed) in [
        (0, "0 bytes", "0 bytes"),
        (1000, "1000 bytes", "1000 bytes"),
        (1024, "1 KiB", "1 KiB"),
        (10_000, "9 KiB", "10 KiB"),
        (16 << 20, "16 MiB", "16 MiB"),
        ((3 << 20) + 5, "3 MiB", "4 MiB"),
        (2 << 40, "2 TiB", "2 TiB"),
    ] {
        assert_eq!(size_words(bytes, false), free);
        assert_eq!(size_words(bytes, true), needed);
    }
}

#[test]
fn a_sweep_removes_the_dead_and_spares_the_living() {
    let dir = Directory::open().unwrap();
    let (dead, alive) = (unique("dead"), unique("alive"));
    let digits = format!("{:032x}", u128::from(std::process::id()) << 64 | 7);
    let (seat, socket) = (format!("ch-{digits}.0.seat"), format!("ch-{digits}.0"));
    let map = crate::MemoryMap::create_new(&alive, 10).unwrap();
    for file in [format!("{dead}.map"), format!("{dead}.event"), seat.clone(), socket.clone()] {
        corpse(&dir, &file);
    }
    corpse(&dir, &format!(".new-{dead}"));
    corpse(&dir, &format!("{dead}.other"));
    // Other tests sweep as well, so the count is not ours alone.
    sweep(&dir);
    let left = |file: &str| dir.path().join(file).exists();
    for file in [format!("{dead}.map"), format!("{dead}.event"), format!(".new-{dead}")] {
        assert!(!left(&file), "{file}");
    }
    assert!(!left(&seat) && !left(&socket));
    assert!(left(&format!("{alive}.map")));
    let other = format!("{dead}.other");
    assert!(left(&other), "a stranger's file");
    std::fs::remove_file(dir.path().join(other)).unwrap();
    drop(map);
    assert!(!left(&format!("{alive}.map")));
}

#[test]
fn a_sweep_waits_for_no_lock() {
    let dir = Directory::open().unwrap();
    let name = unique("locked");
    let file = format!("{name}.map");
    corpse(&dir, &file);
    let lock = dir.lock(Name::parse(&name).unwrap().hash128(), PATIENCE).unwrap();
    sweep(&dir);
    assert!(dir.path().join(&file).exists(), "its name is locked");
    assert!(object::remove_corpse(&dir, &lock, &file));
    assert!(!dir.path().join(&file).exists());
}

#[test]
fn nothing_is_left_when_the_contents_fail() {
    let name = Name::parse(&unique("fails")).unwrap();
    let permission = Permission::of(&Sharing::CurrentUser).unwrap();
    let spec = Spec { len: 10, allocate: true, permission, inheritable: false };
    let fill = |_: BorrowedFd<'_>| Err(io::ErrorKind::PermissionDenied.into());
    let request = Request { kind: Kind::Map, name: &name, spec, write: true, fill };
    assert_eq!(request.create_new().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(request.create_or_open().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(request.open_existing().unwrap_err().kind(), ErrorKind::NotFound);
    let dir = Directory::open_in(Scope::Session).unwrap();
    assert!(!dir.path().join(Kind::Map.file_name(&name)).exists());
}

#[test]
fn a_sweep_removes_the_socket_of_an_end_killed_in_the_middle_of_leaving() {
    use crate::sys::socket::Listener;
    let dir = Directory::open().unwrap();
    let file = |what: &str| {
        let hash = Name::parse(&unique(what)).unwrap().hash128();
        format!("ch-{hash:032x}.1")
    };
    let (dead, leaving) = (file("dead"), file("leaving"));
    let listener = Listener::bind(dir.fd(), &dead).unwrap();
    listener.shutdown();
    let still = Listener::bind(dir.fd(), &leaving).unwrap();
    sweep(&dir);
    let there = dir.file_names();
    assert!(!there.contains(&dead), "nobody listens, and no record says who did");
    assert!(there.contains(&leaving), "an end that is being dropped removes it itself");
    still.shutdown();
    sweep(&dir);
    assert!(!dir.file_names().contains(&leaving));
}
