//! The stage: the world with the gate in it, the story so far, and what was proved.

use anyhow::{Context as _, Result};
use portcullis_tests::client::Answer;
use tempfile::TempDir;

use super::{
    backend::Backend,
    caller::Caller,
    gate::Gate,
    narrator::Narrator,
    proofs::{Proof, Proofs},
    terminal::Shown,
    world::World,
};

/// Everything that the steps need. Its fields are dropped from first to last: processes before namespaces.
pub(super) struct Stage {
    pub(super) tell: Narrator,
    pub(super) proofs: Proofs,
    pub(super) gate: Gate,
    _backend: Backend,
    pub(super) world: World,
    _home: TempDir,
    visitor: Option<Caller>,
}

impl Stage {
    /// Makes the network and starts the application and the gate.
    pub(super) fn set(tell: Narrator) -> Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("portcullis-demo-")
            .tempdir()
            .context("failed to make a directory")?;
        let world = World::make()?;
        let backend = Backend::start(&world.server, home.path())?;
        let gate = Gate::start(&world.server, home.path())?;
        Ok(Self {
            tell,
            proofs: Proofs::default(),
            gate,
            _backend: backend,
            world,
            _home: home,
            visitor: None,
        })
    }

    /// The visitor with the session that lasts through the whole story.
    pub(super) fn visitor(&mut self) -> Result<&mut Caller> {
        self.visitor.as_mut().context("the visitor got no session")
    }

    pub(super) fn visitor_comes(&mut self, visitor: Caller) {
        self.visitor = Some(visitor);
    }

    /// Notes and tells what was proved, or not.
    pub(super) fn prove(&mut self, claim: &'static str, held: bool, figure: impl Into<String>) {
        let figure = figure.into();
        self.tell.claims(claim, held, &figure);
        self.proofs.push(Proof { claim, held, figure });
    }

    /// The operator types a command, and sees what it answers.
    pub(super) fn operator(&self, arguments: &[&str]) -> Result<Shown> {
        let words: Vec<&str> = ["portcullis"].iter().chain(arguments).copied().collect();
        self.tell.types("operator", &words.join(" "));
        let shown = self.gate.operator(arguments, self.tell.is_colored())?;
        self.tell.shows(&shown.text);
        Ok(shown)
    }
}

/// Status and problem of a refusal, or the status alone.
pub(super) fn outcome(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.problem()).trim_end().to_owned()
}

/// Whether it is this refusal.
pub(super) fn is(answer: &Answer, status: u16, problem: &str) -> bool {
    answer.status == status && answer.problem() == problem
}
