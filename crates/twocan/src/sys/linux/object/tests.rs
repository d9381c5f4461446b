use super::*;
use crate::sys::dir::PATIENCE;

#[test]
fn without_o_tmpfile_a_hidden_name_serves_and_is_removed() {
    let dir = Directory::open().unwrap();
    let hash = u128::from(std::process::id()) << 32 | 0xF11E;
    let file_name = format!("contract-hidden-{}.test", std::process::id());
    let lock = dir.lock(hash, PATIENCE).unwrap();
    let ours = format!("{UNFINISHED}{}-", std::process::id());
    let hidden_names = || dir.file_names().into_iter().filter(|n| n.starts_with(&ours)).count();

    let dropped = hidden(&dir, false).unwrap();
    assert_eq!(hidden_names(), 1);
    dropped.discard(&dir);
    assert_eq!(hidden_names(), 0);

    let prepared = hidden(&dir, false).unwrap();
    assert!(ofd::try_lock(&prepared.file, Kind::Shared, HOLD_BYTE).unwrap());
    let file = prepared.publish(&dir, &lock, &file_name).unwrap();
    assert_eq!(hidden_names(), 0);
    assert!(look(&dir, &file_name).unwrap().held);

    let second = hidden(&dir, false).unwrap();
    assert!(second.publish(&dir, &lock, &file_name).is_err(), "the name is taken");
    assert_eq!(hidden_names(), 0);
    drop(lock);
    release(&dir, hash, &file_name, file, false);
    assert!(look(&dir, &file_name).is_none());
}

#[test]
fn a_length_beyond_the_memory_is_refused_before_it_is_taken() {
    let dir = Directory::open().unwrap();
    let permission = Permission::Nobody;
    let spec = Spec { len: 1 << 50, allocate: true, permission, inheritable: false };
    let error = prepare(&dir, &spec, |_| Ok(())).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(free_bytes(dir.fd()).is_some_and(|free| free > 0));
}
