use super::*;

fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut list = VERSION.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

#[test]
fn a_list_names_the_owner_and_one_user_and_closes_all_else() {
    let none = u32::MAX;
    let expected = [(1, 6, none), (2, 6, 7), (4, 0, none), (0x10, 6, none), (0x20, 0, none)];
    assert_eq!(list_for(7), list(&expected));
}

#[test]
fn whoever_may_write_by_a_list_is_seen() {
    let (ours, none) = ([5, 7], u32::MAX);
    let fits = |entries: &[(u16, u16, u32)]| only_these_write(&list(entries), &ours);
    assert!(only_these_write(&list_for(5), &ours) && only_these_write(&list_for(7), &ours));
    assert!(!only_these_write(&list_for(6), &ours));
    let with = |more: (u16, u16, u32), mask| {
        fits(&[(1, 6, none), (2, 6, 7), more, (4, 0, none), (0x10, mask, none), (0x20, 0, none)])
    };
    assert!(with((2, 6, 5), 6), "one of ours");
    for stranger in [(2, 6, 8), (2, 2, 8), (2, 7, none), (8, 6, 5), (8, 2, 8), (4, 6, none)] {
        assert!(!with(stranger, 6), "{stranger:?}");
        assert!(with(stranger, 4), "{stranger:?} is masked: nobody writes");
    }
    assert!(with((2, 4, 8), 6), "reads only");
    assert!(!with((0x20, 2, none), 0), "no mask is laid on all others");
    assert!(!with((0x40, 0, none), 0), "not known");
    // Without a mask nothing is masked.
    assert!(!fits(&[(1, 6, none), (4, 6, none), (0x20, 0, none)]));
    assert!(fits(&[(1, 6, none), (4, 4, none), (0x20, 4, none)]));
    // What is no list.
    for no_list in [&[][..], &[2], &[2, 0, 0], &[1, 0, 0, 0], &[2, 0, 0, 0, 1]] {
        assert!(!only_these_write(no_list, &ours), "{no_list:?}");
    }
    assert!(!only_these_write(&list_for(7)[..43], &ours), "cut off");
}
