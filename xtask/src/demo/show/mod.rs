//! The show: one step after the other, then the table.

mod backend;
mod caller;
mod child;
mod gate;
mod interrupt;
mod keep;
mod metronome;
mod narrator;
mod packets;
mod patience;
mod place;
mod proofs;
mod stage;
mod steps;
mod terminal;
mod world;

use std::time::Instant;

use anyhow::{Result, ensure};

use self::{narrator::Narrator, proofs::Proof, stage::Stage};
use super::Arguments;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    interrupt::catch()?;
    let started = Instant::now();
    let tell = Narrator::for_process();
    introduce(tell);
    let mut stage = Stage::set(tell)?;
    tell.say("Five network namespaces, a real application, the gate with its program at the card: all is up.");
    tell.say("The rules of the shop, beside signatures:");
    tell.detail(RULES);
    play(&mut stage)?;
    let held = conclude(&stage, started);
    if arguments.keep {
        keep::stay(&stage);
    }
    drop(stage);
    tell.say("Taken down: five namespaces, two processes, one directory.");
    ensure!(held, "not everything held");
    Ok(())
}

const NETWORK: &str = "\
visitor   10.77.1.2 ─┐
                     ├─ router, NAT 10.77.0.77 ─┐
neighbour 10.77.2.2 ─┘                          ├─ 10.77.0.2: XDP program ─ gate ─ Express
attacker  10.77.3.2 ─── router ─────────────────┘
";

const RULES: &str = "ship-after-view   PUT /api/orders/7 only after GET /api/orders/7, by the same session\n\
    ship-once         PUT /api/orders/7 once a day";

fn introduce(tell: Narrator) {
    tell.title("Portcullis: a gate in front of an API, on real packets");
    tell.shows(NETWORK);
}

/// Plays all steps. One that breaks is a row that did not hold; the others are played all the same.
fn play(stage: &mut Stage) -> Result<()> {
    for (index, step) in steps::ALL.iter().enumerate() {
        interrupt::check()?;
        stage.tell.title(&format!("{}. {}", index + 1, step.title));
        if let Err(error) = (step.play)(stage) {
            interrupt::check()?;
            let claim = Proof {
                claim: step.title,
                held: false,
                figure: format!("could not be shown: {error:#}"),
            };
            stage.tell.claims(claim.claim, claim.held, &claim.figure);
            stage.proofs.push(claim);
        }
    }
    Ok(())
}

fn conclude(stage: &Stage, started: Instant) -> bool {
    let tell = stage.tell;
    let (held, all) = stage.proofs.count();
    tell.title("What was proved");
    tell.table(&stage.proofs.table(tell));
    tell.say(&format!(
        "{held} of {all} held, in {:.1} s\n",
        started.elapsed().as_secs_f64()
    ));
    if !stage.proofs.all_held() {
        tell.say("The end of the gate's log:");
        tell.detail(&stage.gate.last_words());
    }
    stage.proofs.all_held()
}
