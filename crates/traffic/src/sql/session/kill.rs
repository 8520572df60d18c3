//! `KILL` of a session by the id that its client knows. An id that only a server can have given is not dealt
//! with here: the primary, whose `SHOW PROCESSLIST` it stands in, judges it.

use super::{Over, Session};
use crate::sql::backend::{Link, OpenError};
use crate::sql::classify::Aim;
use crate::sql::roll::place_of;
use crate::sql::wire::capability::Capabilities;
use stoa_model::control::KillOutcome;

/// Gives a row where the user may end other users' sessions; what it has by way of a role is not seen.
/// The names are MariaDB's and MySQL's.
const MAY_KILL: &str = "SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE IN \
    ('CONNECTION ADMIN', 'CONNECTION_ADMIN', 'SUPER') AND \
    GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') LIMIT 1";

impl Session {
    /// The session that a `KILL` means, where it is one of a splitter's.
    pub(super) fn aims_at(&self, aim: Aim) -> Option<u32> {
        match aim {
            Aim::Own => Some(self.member.id),
            Aim::Connection(id) => u32::try_from(id).ok().filter(|id| place_of(*id) > 0),
            Aim::Other => None,
        }
    }

    /// Ends another session, or this one, or a statement.
    pub(super) async fn kill(&mut self, session: u32, query_only: bool) -> Result<(), Over> {
        if session == self.member.id {
            return self.kill_self(query_only).await;
        }
        let mut outcome = self.worker.kill(session, query_only, Some(self.account)).await;
        if outcome == Some(KillOutcome::Denied) && self.may_kill().await {
            outcome = self.worker.kill(session, query_only, None).await;
        }
        match outcome {
            Some(KillOutcome::Done) => self.okay_statement().await,
            Some(KillOutcome::Denied) => {
                let message = format!("You are not owner of thread {session}");
                self.refuse(1, 1095, b"HY000", &message).await
            }
            Some(KillOutcome::Unknown) => {
                self.refuse(1, 1094, b"HY000", &format!("Unknown thread id: {session}")).await
            }
            None => {
                let message = "Stoa: the splitter that has this session cannot be asked now; try again";
                self.refuse(1, 1105, b"HY000", message).await
            }
        }
    }

    async fn kill_self(&mut self, query_only: bool) -> Result<(), Over> {
        if query_only {
            return self.refuse(1, 1317, b"70100", "Query execution was interrupted").await;
        }
        // Each server has its own words for it.
        let mysql = self.worker.shared.is_mysql();
        let (code, message) =
            if mysql { (1317, "Query execution was interrupted") } else { (1927, "Connection was killed") };
        self.refuse(1, code, b"70100", message).await?;
        Err(Over)
    }

    /// Whether a server lets this session's user end other users' sessions. Where none can be asked: no.
    async fn may_kill(&self) -> bool {
        match self.ask_may_kill().await {
            Ok(may) => may,
            Err(error) => {
                tracing::debug!(%error, "no server says whether a user may end the sessions of others");
                false
            }
        }
    }

    async fn ask_may_kill(&self) -> Result<bool, OpenError> {
        let routed = self.worker.routed();
        let slot = routed.primary.iter().chain(&routed.replicas).next().cloned();
        let (Some(slot), Some(account)) = (slot, self.worker.shared.accounts.get(self.account)) else {
            return Ok(false);
        };
        let span = self.worker.shared.settings.connect;
        let mut link = Link::open(&slot.upstream, account, Capabilities::empty(), span).await?;
        let mut may = false;
        let asked = tokio::time::timeout(span, link.ask(MAY_KILL, |_| may = true)).await;
        asked.map_err(|_| OpenError::Late(slot.upstream.endpoint.clone()))??;
        Ok(may)
    }
}
