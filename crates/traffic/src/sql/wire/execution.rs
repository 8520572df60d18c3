//! Where an execution of a prepared statement says what types its parameters have. A client says so the first
//! time and when they change; the server remembers them for the statement.

use super::capability::Capabilities;
use super::field::Fields;

const COM_STMT_EXECUTE: u8 = 0x17;
const COM_STMT_BULK_EXECUTE: u8 = 0xFA;
/// Where the flags of either stand, behind its number.
const FLAGS: usize = 5;
/// Behind flags and, of an execution, the count of iterations.
const BEGINNING: usize = 10;
/// The parameters are counted, also where there are none (COM_STMT_EXECUTE).
const COUNTED: u8 = 0x08;
/// The types stand there (COM_STMT_BULK_EXECUTE).
const BULK_TYPES: u8 = 0x80;

/// An execution that takes parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Execution<'p> {
    payload: &'p [u8],
    /// How many parameters it brings.
    pub(crate) count: usize,
    /// The byte that says whether their types stand there, and by which bit.
    flag: usize,
    mask: u8,
    /// Where they stand.
    types: usize,
    /// Each type has a name behind it.
    named: bool,
}

impl<'p> Execution<'p> {
    /// Reads the front of an execution of a statement with so many parameters; none where it has none, or is
    /// no execution.
    pub(crate) fn read(payload: &'p [u8], parameters: u16, client: Capabilities) -> Option<Self> {
        let named = client.contains(Capabilities::QUERY_ATTRIBUTES);
        let (mut count, flags) = (usize::from(parameters), *payload.get(FLAGS)?);
        match *payload.first()? {
            COM_STMT_EXECUTE => {
                let mut at = BEGINNING;
                if named && (count > 0 || flags & COUNTED != 0) {
                    let rest = payload.get(at..)?;
                    let mut fields = Fields::new(rest);
                    count = usize::try_from(fields.lenenc()?).ok().filter(|count| *count <= payload.len())?;
                    at += rest.len() - fields.rest().len();
                }
                let flag = at + count.div_ceil(8);
                (count > 0).then_some(Execution { payload, count, flag, mask: 1, types: flag + 1, named })
            }
            COM_STMT_BULK_EXECUTE if count > 0 => Some(Execution {
                payload,
                count,
                flag: FLAGS,
                mask: BULK_TYPES,
                types: FLAGS + 2,
                named: false,
            }),
            _ => None,
        }
    }

    /// Whether it says what types they have.
    pub(crate) fn brings_types(&self) -> bool {
        self.payload.get(self.flag).is_some_and(|flag| flag & self.mask != 0)
    }

    /// The types it brings; none where they do not stand there whole.
    pub(crate) fn types(&self) -> Option<&'p [u8]> {
        let rest = self.payload.get(self.types..).filter(|_| self.brings_types())?;
        if !self.named {
            return rest.get(..2 * self.count);
        }
        let mut fields = Fields::new(rest);
        for _ in 0..self.count {
            fields.u16()?;
            fields.lenenc_bytes()?;
        }
        rest.get(..rest.len() - fields.rest().len())
    }

    /// Puts these types into the front of one that brings none, and answers how much of it that was.
    pub(crate) fn put_front_with(&self, types: &[u8], out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(self.payload.get(..self.types).unwrap_or(self.payload));
        if let Some(flag) = out.get_mut(start + self.flag) {
            *flag |= self.mask;
        }
        out.extend_from_slice(types);
        self.types
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Capabilities = Capabilities::PROTOCOL_41;
    const NAMED: Capabilities = PLAIN.union(Capabilities::QUERY_ATTRIBUTES);

    /// What is told of it, and the front with other types where it brings none.
    fn told(
        payload: &[u8],
        parameters: u16,
        client: Capabilities,
    ) -> Option<(usize, Option<Vec<u8>>, Vec<u8>)> {
        let execution = Execution::read(payload, parameters, client)?;
        let mut with = Vec::new();
        if !execution.brings_types() {
            let front = execution.put_front_with(b"TYPES", &mut with);
            with.extend_from_slice(&payload[front..]);
        }
        Some((execution.count, execution.types().map(<[u8]>::to_vec), with))
    }

    #[test]
    fn types_are_found_and_put_in_in_every_layout() {
        let head = [0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0];
        let with = |rest: &[u8]| [&head[..], rest].concat();
        assert_eq!(told(&head, 0, PLAIN), None);
        assert_eq!(
            told(&with(b"\0\x01\x03\0\x05\0vv"), 2, PLAIN),
            Some((2, Some(b"\x03\0\x05\0".to_vec()), vec![]))
        );
        assert_eq!(told(&with(b"\0\0vv"), 2, PLAIN), Some((2, None, with(b"\0\x01TYPESvv"))));
        assert_eq!(told(&with(b"\0\x01\x03\0\x05"), 2, PLAIN), Some((2, None, vec![])), "cut off");
        let nine = told(&with(b"\0\0\0vv"), 9, PLAIN);
        assert_eq!(nine, Some((9, None, with(b"\0\0\x01TYPESvv"))));
        // Two parameters, each with a name that may be empty, and one attribute.
        let named = with(b"\x03\0\x01\x03\0\0\x05\0\0\x05\0\x02abvvv");
        let types = b"\x03\0\0\x05\0\0\x05\0\x02ab".to_vec();
        assert_eq!(told(&named, 2, NAMED), Some((3, Some(types), vec![])));
        assert_eq!(told(&with(b"\x02\0\0vv"), 2, NAMED), Some((2, None, with(b"\x02\0\x01TYPESvv"))));
        assert_eq!(told(&head, 0, NAMED), None);
        let mut counted = with(b"\x01\0\x01\x03\0\x01av");
        counted[5] = COUNTED;
        assert_eq!(told(&counted, 0, NAMED), Some((1, Some(b"\x03\0\x01a".to_vec()), vec![])));
        let bulk = [0xFA, 1, 0, 0, 0, 0x80, 0, 3, 0, 5, 0, 9, 9];
        assert_eq!(told(&bulk, 2, PLAIN), Some((2, Some(vec![3, 0, 5, 0]), vec![])));
        let bulk = [0xFA, 1, 0, 0, 0, 0x40, 0, 9, 9];
        let filled = [&bulk[..5], &[0xC0, 0], b"TYPES", &[9, 9]].concat();
        assert_eq!(told(&bulk, 2, PLAIN), Some((2, None, filled)));
        assert_eq!(told(&[0x1C, 1, 0, 0, 0, 0, 0], 2, PLAIN), None);
        assert_eq!(told(b"\x17", 2, PLAIN), None);
    }
}
