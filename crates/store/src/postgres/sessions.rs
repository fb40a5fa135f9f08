//! Connections, and the transactions on them.
//!
//! A connection is used again only after the server has acknowledged its `COMMIT` or `ROLLBACK`. Whatever else happened
//! (an error, a time limit, a future that was dropped halfway, in `BEGIN` too), it is closed and the server rolls back.
//! So no transaction can be left open on a connection that somebody else gets, and no work here needs to be safe
//! against cancellation.
//!
//! Not sqlx's pool: it gives back a connection whose `BEGIN` was cancelled, waits out its whole time limit where the
//! server refuses connections (a read must be refused at once then), and asks each connection for a sign of life when
//! it comes back, which is a fifth of what a page costs. Here a connection that died while it lay idle is noticed by
//! the first statement of the next transaction, which is begun again on a new one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Error, SqlSafeStr as _, SqlStr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::schema::Text;

pub(super) type Bound = Query<'static, Postgres, PgArguments>;

/// How the connections of one kind are made, and how many there may be.
pub(super) struct Kind {
    pub(super) connections: usize,
    /// What a new connection is told first.
    pub(super) settings: &'static str,
    /// For how long one waits for a connection that others use.
    pub(super) turn: Duration,
    /// For how long a statement is waited for. The server gives up earlier, unless it can't be reached.
    pub(super) answer: Duration,
}

const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
/// Around a copy.
const SHORT: &str = "SET LOCAL statement_timeout = '8s'";
const USUAL: &str = "SET LOCAL statement_timeout = '30s'";
/// What is sent at once of a copy.
const CHUNK: usize = 1 << 18;
/// For how long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(3);

/// How the first statement goes to the server.
#[derive(Clone, Copy)]
enum First {
    /// As it is, several in one string; values come as text.
    Script,
    /// Prepared.
    Statement,
}

/// Connections of one kind.
pub(super) struct Sessions {
    options: PgConnectOptions,
    kind: Kind,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<PgConnection>>,
}

impl Sessions {
    /// Connects when somebody asks.
    pub(super) fn new(options: PgConnectOptions, kind: Kind) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new(kind.connections));
        Arc::new(Self { options, kind, turns, idle: Mutex::default() })
    }

    /// Begins a transaction with statements in one string, the first of which is `BEGIN`; answers the rows that they
    /// select.
    pub(super) async fn begin(self: &Arc<Self>, opening: &Text) -> Result<(Session, Vec<PgRow>), Error> {
        self.open(opening, First::Script).await
    }

    /// Runs a statement that changes nothing, outside of a transaction.
    pub(super) async fn ask(self: &Arc<Self>, statement: &Text) -> Result<Vec<PgRow>, Error> {
        let (session, rows) = self.open(statement, First::Statement).await?;
        session.give_back();
        Ok(rows)
    }

    /// Takes a connection and runs the first statement, on another connection if this one died while it lay idle.
    async fn open(self: &Arc<Self>, sql: &Text, first: First) -> Result<(Session, Vec<PgRow>), Error> {
        let turn = timeout(self.kind.turn, self.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        loop {
            let idle = self.idle().pop();
            let reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let answer = match first {
                First::Script => timeout(self.kind.answer, sqlx::raw_sql(sql.sql()).fetch_all(&mut connection)).await,
                First::Statement => timeout(self.kind.answer, sql.query().fetch_all(&mut connection)).await,
            };
            match answer.unwrap_or_else(|_| Err(timed_out())) {
                Ok(rows) => {
                    let held = Held { connection, _turn: turn };
                    return Ok((Session { held: Some(held), home: self.clone(), sound: true }, rows));
                }
                // Where one of them died the others did too, mostly; those that didn't are missed by nobody.
                Err(error) if reused && lost(&error) => self.idle().clear(),
                Err(error) => return Err(error),
            }
        }
    }

    async fn connect(&self) -> Result<PgConnection, Error> {
        let connect = async {
            let mut connection = self.options.connect().await?;
            sqlx::raw_sql(self.kind.settings).execute(&mut connection).await?;
            Ok(connection)
        };
        timeout(CONNECT, connect).await.unwrap_or_else(|_| Err(timed_out()))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out() -> Error {
    Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server didn't answer in time"))
}

/// Whether the connection is no more; the server says so, or nobody does.
fn lost(error: &Error) -> bool {
    match super::errors::code(error) {
        // 57P01 to 57P05: the server stops, or ended the session. 08…: the connection. 25P03: it waited too long.
        Some(code) => code.starts_with("57P") || code.starts_with("08") || code == "25P03",
        None => matches!(error, Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed),
    }
}

/// A connection in a transaction. Dropped, the transaction is rolled back.
pub(super) struct Session {
    /// There until the session ends.
    held: Option<Held>,
    home: Arc<Sessions>,
    /// No statement is under way and none has failed.
    sound: bool,
}

struct Held {
    connection: PgConnection,
    /// Goes back after the connection did.
    _turn: OwnedSemaphorePermit,
}

impl Session {
    /// Runs a statement and answers its rows.
    pub(super) async fn rows(&mut self, query: Bound) -> Result<Vec<PgRow>, Error> {
        let (limit, connection) = self.use_connection()?;
        let answer = timeout(limit, query.fetch_all(connection)).await;
        self.answered(answer)
    }

    /// Runs a statement that answers one row at the most.
    pub(super) async fn row(&mut self, query: Bound) -> Result<Option<PgRow>, Error> {
        Ok(self.rows(query).await?.into_iter().next())
    }

    /// Runs a statement and answers how many rows it changed.
    pub(super) async fn execute(&mut self, query: Bound) -> Result<u64, Error> {
        let (limit, connection) = self.use_connection()?;
        let answer = timeout(limit, query.execute(connection)).await;
        self.answered(answer).map(|done| done.rows_affected())
    }

    /// Runs statements in one string.
    pub(super) async fn script(&mut self, statements: SqlStr) -> Result<Vec<PgRow>, Error> {
        let (limit, connection) = self.use_connection()?;
        let answer = timeout(limit, sqlx::raw_sql(statements).fetch_all(connection)).await;
        self.answered(answer)
    }

    /// Runs a `COPY … FROM STDIN`. Meanwhile the server waits for us and knows no session that is idle: so its time limit
    /// is that of a process that was stopped.
    pub(super) async fn copy(&mut self, statement: &Text, rows: &[u8]) -> Result<(), Error> {
        self.script(SHORT.into_sql_str()).await?;
        let (limit, connection) = self.use_connection()?;
        let copy = async {
            let mut copy = connection.copy_in_raw(statement.sql().as_str()).await?;
            for chunk in rows.chunks(CHUNK) {
                copy.send(chunk).await?;
            }
            copy.finish().await
        };
        // Dropped before its end, a copy leaves the connection in its midst: it isn't used again then.
        let copied = timeout(limit, copy).await;
        self.answered(copied)?;
        self.script(USUAL.into_sql_str()).await.map(drop)
    }

    /// Ends the transaction; an error leaves open whether it did.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.script(COMMIT.into_sql_str()).await?;
        self.give_back();
        Ok(())
    }

    /// Undoes the transaction now. (Dropped, a session does that a little later.)
    pub(super) async fn roll_back(mut self) -> Result<(), Error> {
        self.script(ROLLBACK.into_sql_str()).await?;
        self.give_back();
        Ok(())
    }

    fn use_connection(&mut self) -> Result<(Duration, &mut PgConnection), Error> {
        if !std::mem::replace(&mut self.sound, false) {
            return Err(Error::PoolClosed);
        }
        let held = self.held.as_mut().ok_or(Error::PoolClosed)?;
        Ok((self.home.kind.answer, &mut held.connection))
    }

    fn answered<T>(&mut self, answer: Result<Result<T, Error>, tokio::time::error::Elapsed>) -> Result<T, Error> {
        let answer = answer.unwrap_or_else(|_| Err(timed_out()))?;
        self.sound = true;
        Ok(answer)
    }

    fn give_back(mut self) {
        if let Some(held) = self.held.take() {
            self.home.idle().push(held.connection);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take().filter(|_| self.sound) else { return };
        // Without a runtime, or with one that stops, the connection is closed.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let home = self.home.clone();
        runtime.spawn(async move {
            let ended = sqlx::raw_sql(ROLLBACK).execute(&mut held.connection);
            if let Ok(Ok(_)) = timeout(home.kind.answer, ended).await {
                home.idle().push(held.connection);
            }
        });
    }
}
