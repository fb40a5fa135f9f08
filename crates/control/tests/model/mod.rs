//! The control state done naively: lists that are searched through, decided rule by rule. Shares no code with the fold.

use std::collections::{BTreeMap, BTreeSet};

use weir_control::{Command, Kind, Name, NewDefinition, NewKey, Role};

/// A naive control state: lists that are searched through, decided rule by rule.
#[derive(Default)]
pub struct Model {
    opened: bool,
    pub workspaces: BTreeMap<String, u64>,
    pub keys: Vec<ModelKey>,
    pub versions: Vec<ModelVersion>,
}

pub struct ModelKey {
    pub owner: Option<String>,
    pub key: NewKey,
    pub revoked: bool,
}

#[derive(Clone)]
pub struct ModelVersion {
    pub workspace: String,
    pub name: Name,
    pub number: u32,
    pub body: String,
    pub names: Vec<Name>,
    pub empty: bool,
    pub gone: bool,
}

impl Model {
    /// `+` and what was done, or `-` and the code of the refusal.
    pub fn step(&mut self, offset: u64, command: &Command) -> String {
        self.decide(offset, command).unwrap_or_else(|code| format!("-{code}"))
    }

    fn decide(&mut self, offset: u64, command: &Command) -> Result<String, &'static str> {
        if let Command::LogOpened(_) = command {
            return if std::mem::replace(&mut self.opened, true) {
                Err("log_already_opened")
            } else {
                Ok("+opened".into())
            };
        }
        if !self.opened {
            return Err("log_not_opened");
        }
        match command {
            Command::WorkspaceCreated(made) => {
                slug(&made.slug)?;
                if self.workspaces.contains_key(&made.slug) {
                    return Err("slug_taken");
                }
                let (keys, versions) = (self.keys.len(), self.versions.len());
                if let Err(code) = self.fill(made) {
                    // A workspace comes whole or not at all.
                    self.keys.truncate(keys);
                    self.versions.truncate(versions);
                    return Err(code);
                }
                self.workspaces.insert(made.slug.clone(), offset);
                Ok(format!("+workspace {offset}"))
            }
            Command::KeyCreated(made) => {
                self.owner(made.workspace.as_ref())?;
                if made.workspace.is_none() != (made.key.role == Role::Operator) {
                    return Err("role_misplaced");
                }
                self.add_key(made.workspace.clone(), &made.key)?;
                Ok("+key".into())
            }
            Command::KeyRevoked(revoked) => {
                self.owner(revoked.workspace.as_ref())?;
                let fits = |each: &&mut ModelKey| {
                    each.key.id == revoked.id && each.owner == revoked.workspace && !each.revoked
                };
                self.keys.iter_mut().find(fits).ok_or("unknown_key")?.revoked = true;
                Ok("+revoked".into())
            }
            Command::SegmentPut(put) => self.put(&put.workspace, Kind::Segment, &put.definition, put.if_version, true),
            Command::ScorePut(put) => self.put(&put.workspace, Kind::Score, &put.definition, put.if_version, true),
            Command::SegmentDeleted(it) => self.delete(&it.workspace, Name::segment(&it.slug), it.if_version),
            Command::ScoreDeleted(it) => self.delete(&it.workspace, Name::score(&it.slug), it.if_version),
            _ => unreachable!(),
        }
    }

    fn fill(&mut self, made: &weir_control::WorkspaceCreated) -> Result<(), &'static str> {
        for key in &made.keys {
            self.add_key((key.role != Role::Operator).then(|| made.slug.clone()), key)?;
        }
        for segment in &made.segments {
            self.put(&made.slug, Kind::Segment, segment, None, false)?;
        }
        Ok(())
    }

    fn owner(&self, slug: Option<&String>) -> Result<(), &'static str> {
        if slug.is_none_or(|slug| self.workspaces.contains_key(slug)) { Ok(()) } else { Err("unknown_workspace") }
    }

    fn add_key(&mut self, owner: Option<String>, key: &NewKey) -> Result<(), &'static str> {
        if self.keys.iter().any(|each| each.key.id == key.id || each.key.sha256 == key.sha256) {
            return Err("key_taken");
        }
        self.keys.push(ModelKey { owner, key: key.clone(), revoked: false });
        Ok(())
    }

    fn newest(&self, workspace: &str) -> BTreeMap<Name, ModelVersion> {
        let of_workspace = self.versions.iter().filter(|each| each.workspace == workspace);
        of_workspace.map(|each| (each.name.clone(), each.clone())).collect()
    }

    pub fn live(&self, workspace: &str) -> BTreeMap<Name, ModelVersion> {
        let mut live = self.newest(workspace);
        live.retain(|_, each| !each.gone);
        live
    }

    fn put(
        &mut self,
        workspace: &str,
        kind: Kind,
        new: &NewDefinition,
        if_version: Option<u32>,
        known: bool,
    ) -> Result<String, &'static str> {
        if known {
            self.owner(Some(&workspace.to_owned()))?;
        }
        slug(&new.slug)?;
        let name = Name { kind, slug: new.slug.clone() };
        let mut live = self.live(workspace);
        let old = live.get(&name).cloned();
        if if_version.is_some_and(|number| number != old.as_ref().map_or(0, |each| each.number)) {
            return Err("version_changed");
        }
        if let Some(old) = old.as_ref().filter(|each| each.body == new.body) {
            return Ok(format!("+put {} unchanged", old.number));
        }
        if let Some(unknown) = new.names.iter().find(|each| **each != name && !live.contains_key(each)) {
            return Err(if unknown.kind == Kind::Segment { "names_unknown_segment" } else { "names_unknown_score" });
        }
        let number = self.newest(workspace).get(&name).map_or(1, |each| each.number + 1);
        let version = ModelVersion {
            workspace: workspace.to_owned(),
            name: name.clone(),
            number,
            body: new.body.clone(),
            names: new.names.clone(),
            empty: new.true_of_empty,
            gone: false,
        };
        live.insert(name.clone(), version.clone());
        if depends_on_itself(&live, &name) {
            return Err("definition_cycle");
        }
        if new.true_of_empty && live.values().filter(|each| each.empty).count() > 50 {
            return Err("too_many_true_of_empty");
        }
        self.versions.push(version);
        Ok(format!("+put {number}{}", if old.is_none() { " created" } else { "" }))
    }

    fn delete(&mut self, workspace: &str, name: Name, if_version: Option<u32>) -> Result<String, &'static str> {
        self.owner(Some(&workspace.to_owned()))?;
        let live = self.live(workspace);
        let unknown = if name.kind == Kind::Segment { "unknown_segment" } else { "unknown_score" };
        let number = live.get(&name).ok_or(unknown)?.number;
        if if_version.is_some_and(|expected| expected != number) {
            return Err("version_changed");
        }
        if live.values().any(|each| each.names.contains(&name)) {
            return Err("definition_in_use");
        }
        let last = self.versions.iter_mut().rfind(|each| each.workspace == workspace && each.name == name);
        last.ok_or(unknown)?.gone = true;
        Ok(format!("+deleted {number}"))
    }
}

fn slug(text: &str) -> Result<(), &'static str> {
    if text == "Bad slug" { Err("slug_invalid") } else { Ok(()) }
}

/// By the transitive closure, step by step.
fn depends_on_itself(live: &BTreeMap<Name, ModelVersion>, name: &Name) -> bool {
    let mut reached: BTreeSet<Name> = live[name].names.iter().cloned().collect();
    loop {
        let further: BTreeSet<Name> = reached.iter().flat_map(|each| live[each].names.iter().cloned()).collect();
        let before = reached.len();
        reached.extend(further);
        if reached.len() == before {
            return reached.contains(name);
        }
    }
}
