use super::*;

fn text(raw: &str) -> String {
    let error = Name::parse(raw).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidName);
    error.to_string()
}

fn stem(raw: &str) -> String {
    Name::parse(raw).unwrap().file_stem()
}

#[test]
fn refused_names_say_why() {
    assert_eq!(text(""), "a name cannot be empty.");
    assert_eq!(text("Local\\"), "a name cannot be empty.");
    assert_eq!(text("Global\\"), "a name cannot be empty.");
    let backslash =
        "a name cannot contain a backslash, except as Local\\ or Global\\ at its start.";
    for raw in ["a\\b", "\\", "Local\\a\\b", "local\\a", "Local\\Global\\a"] {
        assert_eq!(text(raw), format!("\"{raw}\": {backslash}"));
    }
    assert_eq!(
        text("abc\u{7}"),
        "a name cannot contain control characters (found U+0007 at byte 3)."
    );
    assert_eq!(text("\0"), "a name cannot contain control characters (found U+0000 at byte 0).");
    assert_eq!(text("é\n"), "a name cannot contain control characters (found U+000A at byte 2).");
    assert_eq!(
        text("\u{85}"),
        "a name cannot contain control characters (found U+0085 at byte 0)."
    );
}

#[test]
fn prefixes_choose_the_scope() {
    let (plain, local) = (Name::parse("x").unwrap(), Name::parse("Local\\x").unwrap());
    assert_eq!(plain, local);
    assert_eq!((plain.as_str(), plain.scope()), ("x", Scope::Session));
    let global = Name::parse("Global\\x").unwrap();
    assert_eq!((global.as_str(), global.scope()), ("x", Scope::Machine));
    assert_eq!(global.hash128(), plain.hash128());

    let with = |raw, scope, sharing: &Sharing| Name::parse_with(raw, scope, sharing);
    let (mine, all) = (Sharing::CurrentUser, Sharing::Everyone);
    assert_eq!(with("x", Scope::Machine, &mine).unwrap().scope(), Scope::Machine);
    assert_eq!(with("x", Scope::Session, &all).unwrap().scope(), Scope::Machine);
    assert_eq!(with("Global\\x", Scope::Session, &mine).unwrap().scope(), Scope::Machine);
    let refused = with("Local\\x", Scope::Machine, &mine).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[test]
fn file_stems_are_readable_and_do_not_clash() {
    for (raw, expected) in [
        ("Cat", "Cat"),
        ("cat food", "cat food"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        (".lock", "%2Elock"),
        ("..", "%2E."),
        ("a.b", "a.b"),
        ("ch-0.0", "ch-0.0"),
        ("고양이", "고양이"),
    ] {
        assert_eq!(stem(raw), expected);
        let hash = Name::parse(raw).unwrap().hash128();
        assert_eq!(decode_stem(expected), Some((hash, Some(raw.to_owned()))));
    }
    for none in ["a/b", "%", "%2", "%2f", "%xyz", ".a", "", "a%2Eb"] {
        assert_eq!(decode_stem(none), None, "{none}");
    }
}

#[test]
fn long_names_are_hashed() {
    let (fits, long) = ("n".repeat(200), "n".repeat(201));
    assert_eq!(stem(&fits), fits);
    let hashed = stem(&long);
    assert_eq!(hashed.len(), 34);
    assert!(hashed.starts_with("%x"));
    assert_eq!(decode_stem(&hashed), Some((Name::parse(&long).unwrap().hash128(), None)));
    // Short as it is, long as it is written.
    assert!(stem(&"/".repeat(67)).starts_with("%x"));
    assert!(!stem(&"/".repeat(66)).starts_with("%x"));
    assert_ne!(stem(&"/".repeat(68)), stem(&"/".repeat(67)));
    // A name that looks like a hashed one does not become one.
    assert_eq!(stem(&hashed), format!("%25{}", &hashed[1..]));
    assert!(format!("{}.event", "n".repeat(200)).len() <= 255);
}

#[test]
fn the_hash_is_fnv_1a() {
    assert_eq!(fnv1a(b""), 0x6c62272e07bb014262b821756295c58d);
    assert_eq!(fnv1a(b"a"), 0xd228cb696f1a8caf78912b704e4a8964);
    assert_eq!(parse_hash("d228cb696f1a8caf78912b704e4a8964"), Some(fnv1a(b"a")));
    assert_eq!(parse_hash("D228cb696f1a8caf78912b704e4a8964"), None);
    assert_eq!(parse_hash("+228cb696f1a8caf78912b704e4a8964"), None);
    assert_eq!(parse_hash("d2"), None);
}

proptest::proptest! {
    #[test]
    fn different_names_have_different_files(a in "\\PC{1,40}", b in "\\PC{1,40}") {
        let parse = |raw: &str| Name::parse(raw).ok();
        if let (Some(a), Some(b)) = (parse(&a), parse(&b)) {
            proptest::prop_assert_eq!(a.as_str() == b.as_str(), a.file_stem() == b.file_stem());
            let decoded = decode_stem(&a.file_stem()).unwrap();
            proptest::prop_assert_eq!(decoded.0, a.hash128());
        }
    }
}
