use super::super::history::Act;
use super::*;
use proptest::prelude::*;

/// When each was asked and answered, in milliseconds.
type Told<'a> = &'a [(u64, u64, Act)];

fn operation(client: u16, asked: u64, answered: Option<u64>, act: Act) -> Operation {
    let ms = Duration::from_millis;
    Operation { client, act, asked: ms(asked), answered: answered.map(ms) }
}

fn history(all: Told) -> Vec<Operation> {
    let numbered = all.iter().enumerate();
    numbered.map(|(at, (asked, answered, act))| operation(at as u16, *asked, Some(*answered), *act)).collect()
}

#[test]
fn good_histories() {
    let good: [Told; 6] = [
        &[],
        &[(0, 1, Act::Write(1)), (2, 3, Act::Read(1)), (4, 5, Act::Swap(1, 2)), (6, 7, Act::Read(2))],
        // A read during a write sees either.
        &[(0, 10, Act::Write(1)), (1, 2, Act::Read(0)), (3, 4, Act::Read(1)), (5, 6, Act::Read(1))],
        // Two writes at once, in either order.
        &[(0, 10, Act::Write(1)), (0, 10, Act::Write(2)), (11, 12, Act::Read(1))],
        &[(0, 10, Act::Write(1)), (0, 10, Act::Swap(1, 2)), (11, 12, Act::Read(2))],
        &[(0, 10, Act::Write(1)), (1, 2, Act::Refused(1)), (3, 4, Act::Swap(1, 2)), (11, 12, Act::Read(2))],
    ];
    for all in good {
        assert_eq!(judge(&history(all), 0), Verdict::Linearizable, "{all:?}");
    }
}

#[test]
fn bad_histories() {
    let bad: [(&str, Told); 7] = [
        ("a stale read", &[(0, 1, Act::Write(1)), (2, 3, Act::Read(0))]),
        ("a value of nobody", &[(0, 1, Act::Read(7))]),
        ("a lost write", &[(0, 1, Act::Write(1)), (2, 3, Act::Write(2)), (4, 5, Act::Read(1))]),
        ("back in time", &[(0, 10, Act::Write(1)), (1, 2, Act::Read(1)), (3, 4, Act::Read(0))]),
        ("two swaps of the same", &[(0, 10, Act::Swap(0, 1)), (0, 10, Act::Swap(0, 2))]),
        ("refused without a reason", &[(0, 1, Act::Write(1)), (2, 3, Act::Refused(1))]),
        (
            "two readers who disagree about the order",
            &[
                (0, 20, Act::Write(1)),
                (0, 20, Act::Write(2)),
                (1, 2, Act::Read(1)),
                (3, 4, Act::Read(2)),
                (5, 6, Act::Read(1)),
            ],
        ),
    ];
    for (name, all) in bad {
        assert_eq!(judge(&history(all), 0), Verdict::Broken, "{name}");
    }
}

#[test]
fn an_open_write_may_be_done_later_or_never() {
    let open = operation(9, 0, None, Act::Write(1));
    let with = |all: Told| {
        let mut operations = history(all);
        operations.push(open);
        judge(&operations, 0)
    };
    assert_eq!(with(&[(5, 6, Act::Read(0))]), Verdict::Linearizable, "never");
    assert_eq!(with(&[(5, 6, Act::Read(1))]), Verdict::Linearizable, "at once");
    assert_eq!(with(&[(5, 6, Act::Read(0)), (100, 101, Act::Read(1))]), Verdict::Linearizable, "much later");
    assert_eq!(with(&[(5, 6, Act::Read(1)), (7, 8, Act::Read(0))]), Verdict::Broken, "and back");
    let early = [operation(1, 0, Some(1), Act::Read(1)), operation(2, 5, None, Act::Write(1))];
    assert_eq!(judge(&early, 0), Verdict::Broken, "before it was asked for");
}

#[test]
fn what_matters_is_left() {
    let mut all = Vec::new();
    for n in 1..=100 {
        all.extend([(n * 10, n * 10 + 1, Act::Write(n)), (n * 10 + 2, n * 10 + 3, Act::Read(n))]);
    }
    all.push((2000, 2001, Act::Read(42)));
    all.push((2002, 2003, Act::Write(1000)));
    let short = shortest(&history(&all), 0);
    let acts: Vec<Act> = short.iter().map(|one| one.act).collect();
    assert!(acts.len() <= 4 && acts.contains(&Act::Read(42)) && acts.contains(&Act::Write(42)), "{acts:?}");
    assert_eq!(judge(&short, 0), Verdict::Broken);
}

/// A register that is asked by several clients at once: each operation is done at a moment within it.
fn honest() -> impl Strategy<Value = Vec<Operation>> {
    let one = (0_u64..400, 0_u64..30, 0_u64..30, 0_u8..4, any::<bool>());
    proptest::collection::vec(one, 1..60).prop_map(|mut all| {
        all.sort();
        let (mut held, mut value) = (0, 0);
        let mut operations = Vec::new();
        for (client, (moment, before, after, kind, open)) in all.into_iter().enumerate() {
            value += 1;
            let act = match kind {
                0 | 1 => Act::Read(held),
                2 => Act::Write(value),
                _ if open => Act::Refused(held + 1),
                _ => Act::Swap(held, value),
            };
            held = act.written().unwrap_or(held);
            let answered = (!(open && act.written().is_some())).then_some(moment * 10 + after);
            operations.push(operation(client as u16, (moment * 10).saturating_sub(before), answered, act));
        }
        operations
    })
}

/// Every order of the operations that their times allow, tried one by one.
fn by_force(operations: &[Operation], done: &mut Vec<usize>, held: u64) -> bool {
    let left = |at: &usize| !done.contains(at);
    let rest: Vec<usize> = (0..operations.len()).filter(left).collect();
    if rest.iter().all(|at| operations[*at].answered.is_none()) {
        return true;
    }
    let first_end = rest.iter().filter_map(|at| operations[*at].answered).min();
    rest.iter().any(|at| {
        if first_end.is_some_and(|end| operations[*at].asked > end) {
            return false;
        }
        let Some(next) = operations[*at].act.done(held) else { return false };
        done.push(*at);
        let found = by_force(operations, done, next);
        done.pop();
        found
    })
}

fn small() -> impl Strategy<Value = Vec<Operation>> {
    let act = prop_oneof![
        (0_u64..4).prop_map(Act::Read),
        (1_u64..4).prop_map(Act::Write),
        (0_u64..4, 1_u64..4).prop_map(|(from, to)| Act::Swap(from, to)),
        (0_u64..4).prop_map(Act::Refused),
    ];
    let one = (0_u64..20, 0_u64..12, act, any::<bool>());
    proptest::collection::vec(one, 1..7).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(at, (asked, length, act, open))| {
                let answered = (!(open && act.written().is_some())).then_some(asked + length);
                operation(at as u16, asked, answered, act)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn what_was_honest_is_linearizable(operations in honest()) {
        prop_assert_eq!(judge(&operations, 0), Verdict::Linearizable);
    }

    #[test]
    fn it_finds_what_trying_every_order_finds(operations in small()) {
        let wanted = by_force(&operations, &mut Vec::new(), 0);
        let found = judge(&operations, 0);
        prop_assert_eq!(found, if wanted { Verdict::Linearizable } else { Verdict::Broken });
        if !wanted {
            prop_assert_eq!(judge(&shortest(&operations, 0), 0), Verdict::Broken);
        }
    }
}
