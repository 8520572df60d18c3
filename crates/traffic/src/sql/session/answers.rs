//! What of the session's past the splitter can tell by itself, because it saw what it comes from: asked once no
//! connection knows of it any more, or none ever did.

use super::perform::Work;
use super::station::Target;
use super::{Diagnostic, Over, Past, Session};
use crate::sql::classify::{ContextValue, Lone, Reads, lone_values, tell};
use crate::sql::lexer::{Dialect, Lexer, TokenKind, Word};
use crate::sql::wire::field::Fields;
use crate::sql::wire::reply::{self, Column, ColumnKind, Rows};
use crate::sql::wire::response::Reply;
use std::rc::Rc;

/// How long a server's messages are, in bytes.
const MESSAGE: u32 = 2048;
/// How long the word for their kind is.
const LEVEL: u32 = 28;

/// One column of an answer.
#[derive(Debug)]
pub(super) struct Told {
    label: Vec<u8>,
    kind: ColumnKind,
    value: i128,
}

impl Session {
    /// The answer to a question for nothing but values of the session; none where a connection is to be asked.
    pub(super) fn remembered(&self, work: &Work) -> Option<Vec<Told>> {
        if let Some(lone) = &work.verdict.lone {
            // The client's own, not the connection's that happens to be used.
            let here = match lone.value {
                ContextValue::ConnectionId => true,
                // What another session left on the connection is not to be told.
                ContextValue::WarningCount | ContextValue::ErrorCount if !self.has_diagnostics() => true,
                _ => !self.keeps_last(),
            };
            return here.then(|| vec![self.value(lone, self.statement_text(work))]);
        }
        let asks = work.verdict.reads.intersects(Reads::LAST_STATEMENT);
        if !asks || self.keeps_last() {
            return None;
        }
        let text = self.statement_text(work);
        let values = lone_values(text, &self.dialect)?;
        Some(values.iter().map(|lone| self.value(lone, text)).collect())
    }

    /// The text of `work` with what it asks for in expressions.
    pub(super) fn tell(&self, work: &Work) -> Option<Box<[u8]>> {
        if work.statement.is_some() || work.reply == Reply::Executed || work.verdict.count != 1 {
            return None;
        }
        let rows = (self.past.row_count, self.past.found_rows);
        tell(self.text(work), &self.dialect, work.verdict.kind, rows).map(Vec::into_boxed_slice)
    }

    fn value(&self, lone: &Lone, text: &[u8]) -> Told {
        let past = &self.past;
        let (value, kind): (i128, _) = match lone.value {
            ContextValue::LastInsertId => (past.last_insert_id.into(), ColumnKind::Unsigned),
            ContextValue::FoundRows => (past.found_rows.into(), ColumnKind::Integer),
            ContextValue::RowCount => (past.row_count.into(), ColumnKind::Integer),
            ContextValue::WarningCount => (past.warnings.into(), ColumnKind::Variable),
            ContextValue::ErrorCount => (past.errors.into(), ColumnKind::Variable),
            ContextValue::ConnectionId => (self.member.id.into(), ColumnKind::Short(10)),
        };
        let kind = if lone.variable { ColumnKind::Variable } else { kind };
        Told { label: lone.label.of(text).to_vec(), kind, value }
    }

    /// Answers one row of numbers.
    pub(super) async fn answer_values(&mut self, told: &[Told], written: Rows) -> Result<(), Over> {
        let names: Vec<_> = told.iter().map(|told| String::from_utf8_lossy(&told.label)).collect();
        let columns: Vec<Column<'_>> =
            told.iter().zip(&names).map(|(told, name)| Column { name, kind: told.kind }).collect();
        let texts: Vec<String> = told.iter().map(|told| told.value.to_string()).collect();
        let row: Vec<Option<&[u8]>> = texts.iter().map(|text| Some(text.as_bytes())).collect();
        let rows = std::iter::once(&row[..]);
        reply::result_set(
            &mut self.line.outbound,
            1,
            &columns,
            rows,
            (written, self.status),
            self.capabilities,
        );
        // Warnings stay: nothing that uses no table takes them away.
        self.past = Past { row_count: -1, found_rows: 1, ..self.past };
        self.unshared = true;
        Ok(self.line.send().await?)
    }

    /// Whether `SHOW WARNINGS` has something to tell.
    pub(super) fn has_diagnostics(&self) -> bool {
        self.past.warnings > 0 || self.past.errors > 0
    }

    /// Answers `SHOW WARNINGS` and its kin.
    pub(super) async fn answer_diagnostics(&mut self, work: &Work) -> Result<(), Over> {
        let Asked { errors_only, count, offset, most } = asked(self.statement_text(work), &self.dialect);
        let wanted = self.diagnostics.iter().filter(|one| !errors_only || *one.level == *b"Error");
        if count {
            let name = if errors_only { "@@session.error_count" } else { "@@session.warning_count" };
            let told = Told { label: name.into(), kind: ColumnKind::Variable, value: wanted.count() as i128 };
            return self.answer_values(&[told], written(work)).await;
        }
        let columns = [
            Column { name: "Level", kind: ColumnKind::Text(LEVEL) },
            Column { name: "Code", kind: ColumnKind::Short(4) },
            Column { name: "Message", kind: ColumnKind::Text(MESSAGE) },
        ];
        let rows: Vec<[Option<&[u8]>; 3]> = wanted
            .skip(offset)
            .take(most)
            .map(|one| [&one.level, &one.code, &one.message].map(|text| Some(&**text)))
            .collect();
        let rows = rows.iter().map(|row| &row[..]);
        reply::result_set(
            &mut self.line.outbound,
            1,
            &columns,
            rows,
            (written(work), self.status),
            self.capabilities,
        );
        // What it tells of stays.
        self.past.row_count = -1;
        self.unshared = true;
        Ok(self.line.send().await?)
    }

    /// Takes warnings that the next statement leaves from their connection, where that one runs elsewhere.
    pub(super) async fn save_diagnostics(&mut self, next: &Target) {
        let slot = match next {
            Target::Held => return,
            Target::Last(slot) | Target::Replica(slot) => Some(slot.clone()),
            Target::Primary => self.worker.routed().primary.clone(),
        };
        let here = self.held.as_ref().map(|held| &held.backend.slot);
        if !slot.as_ref().zip(here).is_some_and(|(slot, here)| Rc::ptr_eq(slot, here)) {
            Box::pin(self.take_past()).await;
        }
    }

    /// Takes what the last statement left from its connection, and gives that one up: a session at rest holds
    /// none. What a server does not tell in time is lost.
    pub(super) async fn take_past(&mut self) {
        let span = self.worker.shared.settings.connect;
        let had = self.has_diagnostics();
        let Some(held) = &mut self.held else { return };
        let (link, past) = (&mut held.backend.link, &mut self.past);
        let mut diagnostics = Vec::new();
        let taken = tokio::time::timeout(span, async {
            if had {
                link.ask(DIAGNOSTICS, |row| diagnostics.extend(read_diagnostic(row))).await?;
            }
            link.ask("SELECT FOUND_ROWS()", |row| past.found_rows = number(row).unwrap_or(past.found_rows))
                .await
        });
        match taken.await {
            Ok(Ok(())) => self.leave(),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a server does not say what a statement left");
                self.held = None;
            }
            Err(_) => self.held = None,
        }
        self.diagnostics = diagnostics;
        self.unshared = true;
    }
}

/// How an answer to `work` is written.
pub(super) fn written(work: &Work) -> Rows {
    if work.statement.is_some() { Rows::Binary } else { Rows::Text }
}

/// As many as a server itself keeps, by default.
const DIAGNOSTICS: &str = "SHOW WARNINGS LIMIT 64";

fn read_diagnostic(row: &[u8]) -> Option<Diagnostic> {
    let mut fields = Fields::new(row);
    let mut text = || fields.lenenc_bytes().map(Box::from);
    Some(Diagnostic { level: text()?, code: text()?, message: text()? })
}

fn number(row: &[u8]) -> Option<u64> {
    std::str::from_utf8(Fields::new(row).lenenc_bytes()?).ok()?.parse().ok()
}

/// What a `SHOW WARNINGS` asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    errors_only: bool,
    count: bool,
    offset: usize,
    most: usize,
}

fn asked(text: &[u8], dialect: &Dialect) -> Asked {
    let mut lexer = Lexer::new(text, dialect);
    let mut asked = Asked { errors_only: false, count: false, offset: 0, most: usize::MAX };
    let (mut numbers, mut offset_behind) = (Vec::new(), false);
    loop {
        let token = lexer.token();
        let word = token.of(text);
        match token.kind {
            TokenKind::End | TokenKind::Semicolon | TokenKind::Broken => break,
            TokenKind::Number => {
                let number = std::str::from_utf8(word).ok().and_then(|number| number.parse().ok());
                numbers.push(number.unwrap_or(usize::MAX));
            }
            TokenKind::Word if word.eq_ignore_ascii_case(b"offset") => offset_behind = true,
            _ => {}
        }
        asked.errors_only |= token.word == Word::Errors;
        asked.count |= token.word == Word::Count;
    }
    match (&numbers[..], offset_behind) {
        ([most], _) => asked.most = *most,
        ([most, offset], true) | ([offset, most], false) => (asked.offset, asked.most) = (*offset, *most),
        _ => {}
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::lexer::Engine;

    #[test]
    fn what_is_asked_for() {
        let dialect = Dialect::new(Engine::MariaDb);
        let all = usize::MAX;
        for (text, errors_only, count, offset, most) in [
            ("SHOW WARNINGS", false, false, 0, all),
            ("show errors", true, false, 0, all),
            ("SHOW COUNT(*) WARNINGS", false, true, 0, all),
            ("SHOW COUNT(*) ERRORS;", true, true, 0, all),
            ("SHOW WARNINGS LIMIT 0", false, false, 0, 0),
            ("SHOW ERRORS LIMIT 1, 5", true, false, 1, 5),
            ("SHOW ERRORS LIMIT 5 OFFSET 1", true, false, 1, 5),
        ] {
            assert_eq!(
                asked(text.as_bytes(), &dialect),
                Asked { errors_only, count, offset, most },
                "{text}"
            );
        }
    }
}
