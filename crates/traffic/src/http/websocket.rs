//! Where a frame of a WebSocket ends (RFC 6455, 5.2): so that a close frame of our own can be put between
//! two frames and never into one. Nothing else of a frame is looked at.

/// A close frame from a server: 1001, "going away". The client is to connect again.
pub(crate) const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// Follows the frames in one direction of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Frames {
    head: [u8; 14],
    held: usize,
    payload: u64,
}

impl Frames {
    /// Whether a frame may begin here.
    pub(crate) fn at_boundary(&self) -> bool {
        self.held == 0 && self.payload == 0
    }

    /// Goes on by `bytes`.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[self.step(rest)..];
        }
    }

    /// How many of `bytes` belong to the frame that has begun; zero between two frames.
    pub(crate) fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        let (mut probe, mut taken) = (*self, 0);
        while !probe.at_boundary() && taken < bytes.len() {
            taken += probe.step(&bytes[taken..]);
        }
        taken
    }

    /// Takes some bytes, at most to the end of the frame. `bytes` is not empty.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.payload > 0 {
            let n = usize::try_from(self.payload).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.payload -= n as u64;
            return n;
        }
        self.head[self.held] = bytes[0];
        self.held += 1;
        if self.held >= 2 && self.held == self.head_length() {
            self.payload = self.length();
            self.held = 0;
        }
        1
    }

    fn extended(&self) -> usize {
        match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn head_length(&self) -> usize {
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        2 + self.extended() + mask
    }

    fn length(&self) -> u64 {
        match self.extended() {
            0 => u64::from(self.head[1] & 0x7f),
            n => self.head[2..2 + n].iter().fold(0, |length, b| length << 8 | u64::from(*b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_end_where_their_heads_say() {
        let frames: [Vec<u8>; 4] = [
            vec![0x81, 0],
            [&[0x81, 5][..], b"hello"].concat(),
            [&[0x82, 126, 0x01, 0x00][..], &[7; 256]].concat(),
            [&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4][..], &vec![7; 65_536]].concat(),
        ];
        let wire = frames.concat();
        for step in [1, 2, 3, 7, 100, wire.len()] {
            let (mut state, mut at, mut ends) = (Frames::default(), 0, Vec::new());
            while at < wire.len() {
                let rest = &wire[at..wire.len().min(at + step)];
                let n = state.rest_of_frame(rest).max(1);
                state.advance(&rest[..n]);
                at += n;
                if state.at_boundary() {
                    ends.push(at);
                }
            }
            assert_eq!(ends, [2, 9, 269, wire.len()], "by {step}");
        }
    }
}
