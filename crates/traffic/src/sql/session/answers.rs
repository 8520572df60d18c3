//! Values of the session that the splitter can tell by itself, because it saw what they come from.

use super::{Over, Past, Session};
use crate::sql::classify::ContextValue;
use crate::sql::wire::reply::{self, Column, ColumnKind};

impl Session {
    /// What a lone question for `value` is answered with; none where its connection is to be asked.
    pub(super) fn remembered(&self, value: ContextValue) -> Option<i128> {
        if value == ContextValue::ConnectionId {
            // The client's own, not the connection's that happens to be used.
            return Some(self.member.id.into());
        }
        if self.keeps_last() {
            return None;
        }
        Some(match value {
            ContextValue::LastInsertId => self.past.last_insert_id.into(),
            ContextValue::FoundRows => self.past.found_rows.into(),
            ContextValue::RowCount => self.past.row_count.into(),
            ContextValue::WarningCount => self.past.warnings.into(),
            ContextValue::ErrorCount => self.past.errors.into(),
            ContextValue::ConnectionId => return None,
        })
    }

    /// Answers one row with one number.
    pub(super) async fn answer_value(&mut self, label: &[u8], value: i128) -> Result<(), Over> {
        let name = String::from_utf8_lossy(label);
        let column = Column { name: &name, kind: ColumnKind::Integer };
        let text = value.to_string();
        let row = [Some(text.as_bytes())];
        let rows = std::iter::once(&row[..]);
        reply::result_set(&mut self.line.outbound, 1, &[column], rows, self.status, self.capabilities);
        self.past = Past {
            row_count: -1,
            found_rows: 1,
            last_insert_id: self.past.last_insert_id,
            ..Past::default()
        };
        Ok(self.line.send().await?)
    }
}
