//! The fold.
//!
//! Invariant: the state is a function of the records below [`State::next`] and of nothing else, and a record that is
//! refused, ignored or malformed changes nothing but `next`. So whoever reads the stream knows what each record did,
//! and two ingests can't disagree. The rejected alternative, that the ingest which appends decides and writes the
//! outcome, needs a lock across machines or lets two of them accept the same slug.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::command::{Command, Decoded, DefinitionDeleted, DefinitionPut, KeyCreated, KeyRevoked, LogOpened};
use crate::command::{NewKey, WorkspaceCreated, decode};
use crate::definition::{Kind, Name, valid_slug};
use crate::key::{Key, KeyId, Principal, Revocation, Role};
use crate::limits;
use crate::refusal::Refusal;
use crate::workspace::{Act, Workspace};

/// What the records of `control.v1` so far amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    next: u64,
    log: Option<LogOpened>,
    workspaces: BTreeMap<Arc<str>, Workspace>,
    by_no: BTreeMap<u64, Arc<str>>,
    operators: BTreeMap<KeyId, Key>,
    /// The ids of all keys that ever were.
    key_ids: HashSet<KeyId>,
    /// The hashes of all keys that ever were; revoked ones open nothing.
    by_hash: HashMap<[u8; 32], Option<Principal>>,
}

/// What a record did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What it asks for is so.
    Accepted(Accepted),
    /// It asked for something that can't be.
    Refused(Refusal),
    /// It is of a type that this release doesn't know, lies beyond the bound, or was folded before.
    Ignored,
    /// It is no control record that could be carried out; the reason, in at most a few hundred characters.
    Poison(String),
}

/// What an accepted record did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// The log says what it is.
    LogOpened,
    /// A workspace is there.
    Workspace {
        /// Its number.
        no: u64,
    },
    /// A key opens something.
    Key {
        /// The number of its workspace; `None` for an operator key.
        workspace: Option<u64>,
        /// The key.
        id: KeyId,
    },
    /// A key opens nothing any more.
    Revoked {
        /// The number of its workspace; `None` for an operator key.
        workspace: Option<u64>,
        /// The key.
        id: KeyId,
    },
    /// A definition is as the record says.
    Put {
        /// The number of its workspace.
        workspace: u64,
        /// The definition.
        name: Name,
        /// Its version now.
        version: u32,
        /// Whether there was none before, or a deleted one.
        created: bool,
        /// Whether it was so before, so that there is no new version.
        unchanged: bool,
    },
    /// A definition is deleted.
    Deleted {
        /// The number of its workspace.
        workspace: u64,
        /// The definition.
        name: Name,
        /// The version that was its last.
        version: u32,
    },
}

impl State {
    /// Folds the record that lies at `offset`. Never panics, whatever the bytes are. Offsets grow, perhaps with gaps;
    /// a record below [`State::next`] was folded before and is ignored.
    pub fn evolve(&mut self, offset: u64, record: &[u8]) -> Outcome {
        self.evolve_bound(offset, record, u64::MAX)
    }

    /// The same, but definitions that are put or deleted at `bound` or later are passed over: what a generation of
    /// tables folds by, whose definition set ends there. Keys and workspaces (with the definitions that they start
    /// with) evolve all the same; no decision about them depends on a definition put, so both states agree on them.
    pub fn evolve_bound(&mut self, offset: u64, record: &[u8], bound: u64) -> Outcome {
        if offset < self.next {
            return Outcome::Ignored;
        }
        self.next = offset.saturating_add(1);
        let command = match decode(record) {
            Decoded::Command(command) => command,
            Decoded::UnknownType => return Outcome::Ignored,
            Decoded::Malformed(reason) => return Outcome::Poison(reason),
        };
        if offset >= bound && defines(&command) {
            return Outcome::Ignored;
        }
        match self.carry_out(offset, command) {
            Ok(accepted) => Outcome::Accepted(accepted),
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// The offset after the last record folded; the state answers for all records below it.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What the log is; `None` before its first record.
    pub fn log(&self) -> Option<&LogOpened> {
        self.log.as_ref()
    }

    /// The workspace with that slug.
    pub fn workspace(&self, slug: &str) -> Option<&Workspace> {
        self.workspaces.get(slug)
    }

    /// The workspaces by slug.
    pub fn workspaces(&self) -> impl Iterator<Item = &Workspace> {
        self.workspaces.values()
    }

    /// The workspace with that number.
    pub fn workspace_by_no(&self, no: u64) -> Option<&Workspace> {
        self.by_no.get(&no).and_then(|slug| self.workspaces.get(slug))
    }

    /// The deployment's own keys, revoked ones too, by id.
    pub fn operators(&self) -> impl Iterator<Item = &Key> {
        self.operators.values()
    }

    /// Whom the secret with that hash ([`key_hash`](crate::key_hash)) belongs to. A revoked key is unknown.
    pub fn authenticate(&self, secret_sha256: &[u8; 32]) -> Option<Principal> {
        self.by_hash.get(secret_sha256)?.clone()
    }

    fn carry_out(&mut self, offset: u64, command: Command) -> Result<Accepted, Refusal> {
        if self.log.is_none() && !matches!(command, Command::LogOpened(_)) {
            return Err(Refusal::NotOpened);
        }
        match command {
            Command::LogOpened(_) if self.log.is_some() => Err(Refusal::AlreadyOpened),
            Command::LogOpened(log) => {
                self.log = Some(log);
                Ok(Accepted::LogOpened)
            }
            Command::WorkspaceCreated(made) => self.create_workspace(offset, &made),
            Command::KeyCreated(made) => self.create_key(offset, &made),
            Command::KeyRevoked(revoked) => self.revoke_key(&revoked),
            Command::SegmentPut(put) => self.put(offset, Kind::Segment, &put),
            Command::ScorePut(put) => self.put(offset, Kind::Score, &put),
            Command::SegmentDeleted(deleted) => self.delete(offset, Kind::Segment, deleted),
            Command::ScoreDeleted(deleted) => self.delete(offset, Kind::Score, deleted),
        }
    }

    fn create_workspace(&mut self, offset: u64, made: &WorkspaceCreated) -> Result<Accepted, Refusal> {
        if !valid_slug(&made.slug) {
            return Err(Refusal::InvalidSlug { slug: made.slug.clone() });
        }
        if self.workspaces.contains_key(made.slug.as_str()) {
            return Err(Refusal::SlugTaken { slug: made.slug.clone() });
        }
        self.check_first_keys(&made.keys)?;
        let act = Act { offset, by: &made.by, at: made.at };
        let workspace = with_definitions(made, act)?;
        let slug = Arc::clone(&workspace.slug);
        self.by_no.insert(offset, Arc::clone(&slug));
        self.workspaces.insert(Arc::clone(&slug), workspace);
        for key in &made.keys {
            let owner = (key.role != Role::Operator).then_some(&slug);
            self.insert_key(owner, key, act);
        }
        Ok(Accepted::Workspace { no: offset })
    }

    /// The keys of a new workspace must be new, also among each other, and not too many.
    fn check_first_keys(&self, keys: &[NewKey]) -> Result<(), Refusal> {
        let (mut ids, mut hashes) = (HashSet::new(), HashSet::new());
        for key in keys {
            self.check_new_key(key)?;
            if !ids.insert(key.id) || !hashes.insert(key.sha256) {
                return Err(Refusal::KeyTaken { id: key.id });
            }
        }
        let operators = keys.iter().filter(|key| key.role == Role::Operator).count();
        if keys.len() - operators > limits::KEYS || live_keys(&self.operators) + operators > limits::KEYS {
            return Err(Refusal::TooManyKeys);
        }
        Ok(())
    }

    fn create_key(&mut self, offset: u64, made: &KeyCreated) -> Result<Accepted, Refusal> {
        let owner = self.owner(made.workspace.as_deref())?;
        if owner.is_none() != (made.key.role == Role::Operator) {
            return Err(Refusal::RoleMisplaced { role: made.key.role });
        }
        self.check_new_key(&made.key)?;
        if live_keys(owner.map_or(&self.operators, |workspace| &workspace.keys)) >= limits::KEYS {
            return Err(Refusal::TooManyKeys);
        }
        let (no, slug) = (owner.map(|workspace| workspace.no), owner.map(|workspace| Arc::clone(&workspace.slug)));
        self.insert_key(slug.as_ref(), &made.key, Act { offset, by: &made.by, at: made.at });
        Ok(Accepted::Key { workspace: no, id: made.key.id })
    }

    fn revoke_key(&mut self, revoked: &KeyRevoked) -> Result<Accepted, Refusal> {
        let no = self.owner(revoked.workspace.as_deref())?.map(|workspace| workspace.no);
        let keys = match revoked.workspace.as_deref().and_then(|slug| self.workspaces.get_mut(slug)) {
            Some(workspace) => &mut workspace.keys,
            None => &mut self.operators,
        };
        let Some(key) = keys.get_mut(&revoked.id).filter(|key| key.revoked.is_none()) else {
            return Err(Refusal::UnknownKey { id: revoked.id });
        };
        key.revoked = Some(Revocation { by: revoked.by.clone(), at: revoked.at });
        self.by_hash.insert(key.sha256, None);
        Ok(Accepted::Revoked { workspace: no, id: revoked.id })
    }

    fn put(&mut self, offset: u64, kind: Kind, put: &DefinitionPut) -> Result<Accepted, Refusal> {
        let workspace = self.workspace_mut(&put.workspace)?;
        let decision = workspace.decide_put(kind, &put.definition, put.if_version)?;
        workspace.apply_put(kind, &put.definition, &decision, Act { offset, by: &put.by, at: put.at });
        Ok(Accepted::Put {
            workspace: workspace.no,
            name: Name { kind, slug: put.definition.slug.clone() },
            version: decision.version,
            created: decision.created,
            unchanged: decision.unchanged,
        })
    }

    fn delete(&mut self, offset: u64, kind: Kind, deleted: DefinitionDeleted) -> Result<Accepted, Refusal> {
        let workspace = self.workspace_mut(&deleted.workspace)?;
        let name = Name { kind, slug: deleted.slug };
        let version = workspace.decide_delete(&name, deleted.if_version)?;
        workspace.apply_delete(&name, Act { offset, by: &deleted.by, at: deleted.at });
        Ok(Accepted::Deleted { workspace: workspace.no, name, version })
    }

    /// The workspace named, or `None` for the deployment.
    fn owner(&self, slug: Option<&str>) -> Result<Option<&Workspace>, Refusal> {
        let Some(slug) = slug else { return Ok(None) };
        self.workspaces.get(slug).map(Some).ok_or_else(|| Refusal::UnknownWorkspace { slug: slug.to_owned() })
    }

    fn workspace_mut(&mut self, slug: &str) -> Result<&mut Workspace, Refusal> {
        self.workspaces.get_mut(slug).ok_or_else(|| Refusal::UnknownWorkspace { slug: slug.to_owned() })
    }

    fn check_new_key(&self, key: &NewKey) -> Result<(), Refusal> {
        if self.key_ids.contains(&key.id) || self.by_hash.contains_key(&key.sha256) {
            return Err(Refusal::KeyTaken { id: key.id });
        }
        Ok(())
    }

    fn insert_key(&mut self, workspace: Option<&Arc<str>>, new: &NewKey, act: Act<'_>) {
        let key = Key {
            id: new.id,
            role: new.role,
            name: new.name.clone(),
            sha256: new.sha256,
            created_by: act.by.to_owned(),
            created_at: act.at,
            revoked: None,
        };
        let keys = match workspace.and_then(|slug| self.workspaces.get_mut(slug)) {
            Some(workspace) => &mut workspace.keys,
            None => &mut self.operators,
        };
        keys.insert(new.id, key);
        self.key_ids.insert(new.id);
        let principal = Principal { key_id: new.id, role: new.role, workspace: workspace.cloned() };
        self.by_hash.insert(new.sha256, Some(principal));
    }
}

/// Whether the command belongs to the definition set.
fn defines(command: &Command) -> bool {
    match command {
        Command::SegmentPut(_) | Command::SegmentDeleted(_) | Command::ScorePut(_) | Command::ScoreDeleted(_) => true,
        Command::LogOpened(_) | Command::WorkspaceCreated(_) | Command::KeyCreated(_) | Command::KeyRevoked(_) => false,
    }
}

fn live_keys(keys: &BTreeMap<KeyId, Key>) -> usize {
    keys.values().filter(|key| key.revoked.is_none()).count()
}

/// The workspace with its first definitions, each decided as if it were put: scores first, since segments name them.
fn with_definitions(made: &WorkspaceCreated, act: Act<'_>) -> Result<Workspace, Refusal> {
    let mut workspace = Workspace {
        no: act.offset,
        slug: Arc::from(made.slug.as_str()),
        namespace: made.namespace,
        created_by: made.by.clone(),
        created_at: made.at,
        keys: BTreeMap::new(),
        segments: BTreeMap::new(),
        scores: BTreeMap::new(),
    };
    for (kind, definitions) in [(Kind::Score, &made.scores), (Kind::Segment, &made.segments)] {
        for new in definitions {
            let decision = workspace.decide_put(kind, new, None)?;
            workspace.apply_put(kind, new, &decision, act);
        }
    }
    Ok(workspace)
}
