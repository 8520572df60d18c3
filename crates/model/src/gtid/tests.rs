//! Sets of transactions: how they are written, and who has more.

use super::*;
use proptest::prelude::*;

const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> Gtids {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn mysql(text: &str) -> Gtids {
    set(&text.replace('A', A).replace('B', B))
}

#[test]
fn sets_print_as_servers_write_them() {
    for text in ["", "0-1-100", "0-1-100,0-2-104,7-3-1"] {
        assert_eq!(set(text).to_string(), text);
    }
    let table =
        [("A:1-5:7", "A:1-5:7"), ("A:1-5:6:9-10", "A:1-6:9-10"), ("A:3,\nB:1-2,\nA:1-2", "A:1-3,B:1-2")];
    for (text, printed) in table {
        assert_eq!(mysql(text), mysql(printed));
        assert_eq!(mysql(text).to_string(), printed.replace('A', A).replace('B', B));
    }
    assert_eq!(mysql("A:1-5:Night:1-2:4").to_string(), format!("{A}:1-5,{A}:night:1-2:4"));
}

#[test]
fn what_is_no_set_is_refused() {
    let mixed = format!("0-1-2,{A}:1");
    let huge = "0-1-1,".repeat(TEXT_MAX);
    for text in ["0", "0-1", "0-1-x", "0-1-", "-1-1", "0-1-1-1", "0-4294967296-1", "0-1-18446744073709551616"]
    {
        assert!(text.parse::<Gtids>().is_err(), "{text:?}");
    }
    for text in
        [&mixed, &huge, &format!("{A}:0"), &format!("{A}:5-4"), &format!("{A}:"), &format!("{A}:t"), "x:1"]
    {
        assert!(text.parse::<Gtids>().is_err(), "{:?}", text.get(..60));
    }
    assert!(format!("{A}:1-9223372036854775807").parse::<Gtids>().is_err());
}

/// The words of the third column: what the first is to the second.
#[test]
fn who_has_more() {
    let table = [
        ("0-1-100", "0-1-100", Some(Ordering::Equal)),
        ("0-1-101", "0-1-100", Some(Ordering::Greater)),
        ("", "0-1-100", Some(Ordering::Less)),
        // The new primary went on where the old one ended.
        ("0-1-103,0-2-200", "0-1-103", Some(Ordering::Greater)),
        // The old one has 104, which the new one never got: neither has it all.
        ("0-1-103,0-2-200", "0-1-104", None),
        ("0-1-103,0-2-104", "0-1-104", None),
        // A clone knows the last one only; a line of history has everything before it.
        ("0-2-200", "0-1-103,0-2-200", Some(Ordering::Equal)),
        ("0-2-200", "0-1-103,0-2-150", Some(Ordering::Greater)),
        ("0-2-200", "0-1-103", None),
        ("0-1-5,1-1-7", "0-1-6,1-1-6", None),
    ];
    for (one, other, expected) in table {
        assert_eq!(set(one).partial_cmp(&set(other)), expected, "{one} and {other}");
    }
    let table = [
        ("A:1-9", "A:1-5:7", Some(Ordering::Greater)),
        ("A:1-9,B:1", "A:1-10", None),
        ("A:1-9", "A:1-9", Some(Ordering::Equal)),
    ];
    for (one, other, expected) in table {
        assert_eq!(mysql(one).partial_cmp(&mysql(other)), expected, "{one} and {other}");
    }
}

#[test]
fn what_is_left_and_who_began_it() {
    assert_eq!(set("0-1-105").subtract(&set("0-1-103,0-2-104")), set("0-1-105"));
    assert_eq!(mysql("A:1-10,B:1-3").subtract(&mysql("A:2-4:6")), mysql("A:1:5:7-10,B:1-3"));
    assert_eq!(set("0-1-103,0-2-104").not_of(&Origin::Server(1)), set("0-2-104"));
    assert_eq!(mysql("A:1-10,B:1-3").not_of(&Origin::Uuid(A.to_owned())), mysql("B:1-3"));
    assert_eq!(set("0-1-103,0-2-110").ahead_of(&set("0-1-103")), 7);
    assert_eq!(mysql("A:1-10,B:1-3").ahead_of(&mysql("A:2-4")), 10);
}

#[test]
fn origins_print_as_they_are_read() {
    for text in ["7", A] {
        assert_eq!(text.parse::<Origin>().map(|origin| origin.to_string()), Ok(text.to_owned()));
    }
    for text in ["", "-1", "4294967296", "abc"] {
        assert!(text.parse::<Origin>().is_err(), "{text:?}");
    }
}

fn of_mysql() -> impl Strategy<Value = Gtids> {
    let interval = (1u64..40, 0u64..6).prop_map(|(from, more)| format!("{from}-{}", from + more));
    let source = (prop_oneof![Just(A), Just(B)], prop::collection::vec(interval, 1..5));
    let part = source.prop_map(|(uuid, intervals)| format!("{uuid}:{}", intervals.join(":")));
    prop::collection::vec(part, 0..4).prop_map(|parts| set(&parts.join(",")))
}

/// One line of history, as a strict domain has it: who wrote how many, one after the other.
fn line() -> impl Strategy<Value = Vec<(u32, u64)>> {
    prop::collection::vec((1u32..4, 1u64..5), 0..6)
}

/// What a server has that followed a line up to some point.
fn up_to(line: &[(u32, u64)], end: u64) -> Gtids {
    let (mut at, mut all) = (0, Gtids::default());
    for (server, count) in line {
        let last = (at + count).min(end);
        if last > at {
            all = all.union(&set(&format!("0-{server}-{last}")));
        }
        at = last;
    }
    all
}

proptest! {
    #[test]
    fn text_never_panics(text in "[-0-9a-f:, \n]{0,80}") {
        if let Ok(gtids) = text.parse::<Gtids>() {
            prop_assert_eq!(gtids.to_string().parse::<Gtids>(), Ok(gtids));
        }
    }

    #[test]
    fn mysql_sets_are_sets(a in of_mysql(), b in of_mysql(), c in of_mysql()) {
        let both = a.union(&b);
        prop_assert!(both.contains(&a) && both.contains(&b));
        prop_assert_eq!(&both, &b.union(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.subtract(&b).union(&b), both.clone());
        prop_assert!(a.subtract(&b).subtract(&a).is_empty());
        prop_assert_eq!(b.contains(&a), a.subtract(&b).is_empty());
        prop_assert_eq!(both.to_string().parse::<Gtids>(), Ok(both));
    }

    /// On one line the one that came further has everything of the other, whatever it was cloned from.
    #[test]
    fn on_one_line_further_is_more(line in line(), one in 0u64..20, other in 0u64..20) {
        let total: u64 = line.iter().map(|(_, count)| count).sum();
        let (one, other) = (one.min(total), other.min(total));
        let (a, b) = (up_to(&line, one), up_to(&line, other));
        prop_assert_eq!(a.partial_cmp(&b), Some(one.cmp(&other)));
        prop_assert_eq!(a.ahead_of(&b), one.saturating_sub(other));
    }

    /// What only one of two lines has is never taken for a part of the other.
    #[test]
    fn two_ends_are_not_one(line in line(), cut in 1u64..4) {
        let total: u64 = line.iter().map(|(_, count)| count).sum();
        let trunk = up_to(&line, total);
        let old = trunk.union(&set(&format!("0-8-{}", total + cut)));
        let new = trunk.union(&set(&format!("0-9-{}", total + cut + 1)));
        prop_assert_eq!(old.partial_cmp(&new), None);
        prop_assert!(!new.contains(&old));
    }
}
