//! What is prepared on one connection to a server.
//!
//! Sessions that have prepared the same text in the same state share one statement of the server's. What of a
//! statement is one session's own never meets another: the types of parameters that the server was told last
//! are noted and told anew where they are not a session's; an open cursor keeps its statement for itself, and
//! its session the connection; long data go with the execution that uses them up.

use super::state::State;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::{Rc, Weak};

/// The most statements that stay prepared on one connection.
const MOST: usize = 200;

/// A text, and the state in which it was prepared: how it is read, and what its names mean. One for all
/// sessions of a thread that have prepared it, see [`Texts`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Text {
    /// The statement.
    pub(crate) sql: Box<[u8]>,
    /// The state.
    pub(crate) state: Rc<State>,
}

/// The texts that the sessions of a thread have prepared.
#[derive(Debug, Default)]
pub(crate) struct Texts(RefCell<HashSet<Rc<Text>>>);

/// The statements that are prepared on one connection.
#[derive(Debug, Default)]
pub(crate) struct Placements {
    placed: Vec<Placed>,
    /// A text was prepared a second time, beside one with an open cursor.
    twice: bool,
}

/// A statement that is prepared on a connection.
#[derive(Debug)]
pub(crate) struct Placed {
    text: Weak<Text>,
    /// The server's number for it.
    pub(crate) id: u32,
    /// The types of its parameters that the server was told last; empty for none, or where it is not known.
    pub(crate) types: Vec<u8>,
    /// The statement, of the session that has the connection, whose cursor is open on it.
    pub(crate) cursor: Option<u32>,
}

impl Texts {
    /// The one copy of a text that was prepared in this state.
    pub(crate) fn share(&self, sql: &[u8], state: &Rc<State>) -> Rc<Text> {
        let text = Text { sql: sql.into(), state: state.clone() };
        let mut texts = self.0.borrow_mut();
        if let Some(known) = texts.get(&text) {
            return known.clone();
        }
        let shared = Rc::new(text);
        texts.insert(shared.clone());
        shared
    }

    /// Forgets those that no session has any more.
    pub(crate) fn tidy(&self) {
        self.0.borrow_mut().retain(|text| Rc::strong_count(text) > 1);
    }
}

impl Placements {
    /// What is prepared of `text` for statement `number` of the session that has the connection: what has its
    /// cursor, or has none.
    pub(crate) fn find(&mut self, text: &Rc<Text>, number: u32) -> Option<&mut Placed> {
        let at = self.position(text, number)?;
        self.placed.get_mut(at)
    }

    fn position(&self, text: &Rc<Text>, number: u32) -> Option<usize> {
        if !self.twice {
            let at = self.placed.iter().position(|placed| placed.is(text))?;
            return self.placed.get(at)?.cursor.is_none_or(|own| own == number).then_some(at);
        }
        let mut free = None;
        for (at, placed) in self.placed.iter().enumerate().filter(|(_, placed)| placed.is(text)) {
            match placed.cursor {
                None => free = Some(at),
                Some(own) if own == number => return Some(at),
                Some(_) => {}
            }
        }
        free
    }

    /// `text` was prepared. Tells the numbers of those that are to be closed: where there was one already the
    /// new one, what nobody needs, and where there are too many the oldest.
    pub(crate) fn place(&mut self, text: &Rc<Text>, id: u32, mut close: impl FnMut(u32)) {
        self.tidy(&mut close);
        if self.placed.iter().any(|placed| placed.is(text) && placed.cursor.is_none()) {
            return close(id);
        }
        self.twice |= self.placed.iter().any(|placed| placed.is(text));
        if self.placed.len() >= MOST
            && let Some(oldest) = self.placed.iter().position(|placed| placed.cursor.is_none())
        {
            close(self.placed.remove(oldest).id);
        }
        self.placed.push(Placed { text: Rc::downgrade(text), id, types: Vec::new(), cursor: None });
    }

    /// Takes away what [`find`](Placements::find) finds; its number.
    pub(crate) fn remove(&mut self, text: &Rc<Text>, number: u32) -> Option<u32> {
        let at = self.position(text, number)?;
        Some(self.placed.remove(at).id)
    }

    /// Takes away what no session has any more, and tells the numbers.
    pub(crate) fn tidy(&mut self, mut close: impl FnMut(u32)) {
        self.placed.retain(|placed| {
            let needed = placed.is_needed();
            if !needed {
                close(placed.id);
            }
            needed
        });
    }

    /// All are gone.
    pub(crate) fn clear(&mut self) {
        *self = Placements::default();
    }
}

impl Placed {
    fn is(&self, text: &Rc<Text>) -> bool {
        self.text.as_ptr() == Rc::as_ptr(text)
    }

    /// Whether a session has it: the thread's list of texts does not count.
    fn is_needed(&self) -> bool {
        self.text.strong_count() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text as a session and the thread have it.
    fn text(sql: &str) -> [Rc<Text>; 2] {
        let text = Rc::new(Text { sql: sql.as_bytes().into(), state: Rc::default() });
        [text.clone(), text]
    }

    #[test]
    fn a_text_is_shared_by_who_prepared_it_in_the_same_state_as_long_as_one_has_it() {
        let (texts, state) = (Texts::default(), Rc::<State>::default());
        let (one, two) = (texts.share(b"a", &state), texts.share(b"a", &state));
        let elsewhere = Rc::new(state.with_schema(b"elsewhere"));
        assert!(Rc::ptr_eq(&one, &two));
        assert!(
            !Rc::ptr_eq(&one, &texts.share(b"a", &elsewhere))
                && !Rc::ptr_eq(&one, &texts.share(b"b", &state))
        );
        texts.tidy();
        assert_eq!((texts.0.borrow().len(), Rc::strong_count(&one)), (1, 3));
        drop((one, two));
        texts.tidy();
        assert!(texts.0.borrow().is_empty());
    }

    const NONE: [u32; 0] = [];

    fn place(placements: &mut Placements, text: &Rc<Text>, id: u32) -> Vec<u32> {
        let mut closed = Vec::new();
        placements.place(text, id, |id| closed.push(id));
        closed
    }

    #[test]
    fn one_is_enough_for_all_and_goes_with_the_last() {
        let mut placements = Placements::default();
        let ([a, _list], [b, _other]) = (text("a"), text("b"));
        assert_eq!(place(&mut placements, &a, 1), NONE);
        assert_eq!(place(&mut placements, &a, 2), [2], "there is one");
        assert_eq!(place(&mut placements, &b, 3), NONE);
        assert_eq!(placements.find(&a, 7).map(|placed| placed.id), Some(1));
        drop(a);
        let mut closed = Vec::new();
        placements.tidy(|id| closed.push(id));
        assert_eq!((closed, placements.find(&b, 1).map(|placed| placed.id)), (vec![1], Some(3)));
        assert_eq!((placements.remove(&b, 1), placements.remove(&b, 1)), (Some(3), None));
    }

    #[test]
    fn what_has_a_cursor_is_its_statements_alone_and_is_not_closed_for_another() {
        let mut placements = Placements::default();
        let [a, _list] = text("a");
        place(&mut placements, &a, 1);
        placements.find(&a, 7).unwrap().cursor = Some(7);
        assert!(placements.find(&a, 8).is_none());
        assert_eq!(place(&mut placements, &a, 2), NONE);
        assert_eq!([7, 8].map(|number| placements.find(&a, number).unwrap().id), [1, 2]);
        let more: Vec<_> = (0..MOST as u32).map(|at| (text(&at.to_string()), at + 10)).collect();
        let closed: Vec<u32> =
            more.iter().flat_map(|([text, _], id)| place(&mut placements, text, *id)).collect();
        assert_eq!(closed, [2, 10]);
        assert_eq!(placements.find(&a, 7).unwrap().id, 1);
    }
}
