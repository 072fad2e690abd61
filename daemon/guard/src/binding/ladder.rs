//! The ladder: what a session must do when its surroundings change, and what it is remembered by.

use std::sync::Arc;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use super::agent::{Agent, AgentChange};
use super::place::Place;
use super::stays::{KNOWN, Stay, Stays, Tick, is_concentrated};
use super::{Binding, Habits};
use crate::head::Browser;
use crate::policy::BindingPolicy;
use crate::refusal::Refusal;
use crate::time::MonoMillis;

/// How often a new address beside a known one costs points: carriers hand them out for each connection.
const NEARBY_COUNTED: u32 = 600 * 10;
const HOUR: u32 = 3600 * 10;

/// Evidence of several changes adds up. From here on a fresh nonce is asked for; evidence alone never asks for more.
const ASKS: u8 = 5;
const EVIDENCE_NEWER_AGENT: u8 = 1;
const EVIDENCE_OTHER_FAMILY: u8 = 1;
const EVIDENCE_NEARBY: u8 = 2;
/// Pages set Accept-Language themselves, so that it alone means nothing.
const EVIDENCE_LANGUAGE: u8 = 3;
const EVIDENCE_BRANDS: u8 = 5;
const EVIDENCE_DEVICE: u8 = 5;
/// Another TLS stack under the same User-Agent: a program that borrows a browser's name, or a network that opens TLS.
const EVIDENCE_TLS: u8 = 5;

/// What the ladder goes by for one request.
#[derive(Clone, Copy, Debug)]
pub struct Ladder {
    /// For addresses.
    pub address: BindingPolicy,
    /// For the User-Agent and what goes with it.
    pub user_agent: BindingPolicy,
    /// Networks that a session may move to in an hour.
    pub per_hour: u16,
}

/// How far an accepted call came from where the session was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// From a place that is known, or one that costs nothing to know.
    No,
    /// From another address of a known /24 or /48; told at most once in ten minutes.
    Nearby,
    /// From another network.
    Away,
}

/// Why a call cannot pass as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Another network: a fresh nonce is needed.
    Network,
    /// Several small changes at once, or one of the client hints: a fresh nonce is needed.
    Habits,
    /// Another browser.
    UserAgent,
    /// Too many networks within an hour, or any change of address where the binding is strict.
    Unsteady,
    /// Several networks at the same time.
    Concentrated,
}

impl Objection {
    /// Whether the user has to authenticate again. Otherwise a signature with a fresh nonce is enough.
    #[must_use]
    pub fn needs_reauthentication(self) -> bool {
        match self {
            Self::Network | Self::Habits => false,
            Self::UserAgent | Self::Unsteady | Self::Concentrated => true,
        }
    }

    /// What it is called towards the operator.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Network => Refusal::AddressChanged,
            Self::Habits => Refusal::HabitsChanged,
            Self::UserAgent => Refusal::UserAgentChanged,
            Self::Unsteady => Refusal::AddressUnsteady,
            Self::Concentrated => Refusal::Concentrated,
        }
    }
}

/// What is remembered of a session's surroundings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Surroundings {
    stays: Stays,
    /// Where the session was opened, or authenticated again.
    home: Place,
    /// The last call that passed, whatever it was bound by.
    last: Binding,
    agent: Agent,
    habits: Habits,
    programs: Programs,
    hour: Tick,
    nearby_counted: Option<Tick>,
    moves: u16,
    /// Both families were seen; from here on a network of either is one like any other.
    both_families: bool,
    /// Nothing passes before the user has authenticated again.
    suspended: bool,
    user: Option<Arc<str>>,
}

impl Surroundings {
    /// The surroundings of a session at its first call.
    #[must_use]
    pub fn new(seen: &Binding, headers: &HeaderMap, now: MonoMillis) -> Self {
        let at = Tick::at(now);
        let browser = Browser::of(headers);
        Self {
            stays: Stays {
                first: Some(Stay::begin(seen.place, at)),
                others: None,
            },
            home: seen.place,
            last: *seen,
            agent: Agent::of(browser.agent.unwrap_or_default()),
            habits: Habits::of(&browser),
            programs: Programs::default().with(seen.tls),
            hour: at,
            nearby_counted: None,
            moves: 0,
            both_families: false,
            suspended: false,
            user: None,
        }
    }

    /// Whether the last call that passed had exactly these surroundings.
    #[must_use]
    pub fn are(&self, seen: &Binding) -> bool {
        self.last == *seen
    }

    /// Whether the same User-Agent comes from a TLS stack that this session was not used by before. A newer browser may
    /// bring one.
    #[must_use]
    pub fn is_other_program(&self, seen: &Binding) -> bool {
        seen.agent == self.agent.hash && !self.programs.know(seen.tls)
    }

    /// Judges the surroundings of a call whose signature was proved, and records them if it may pass. `fresh`: it was
    /// signed with a nonce that the gate issued for this network and browser.
    ///
    /// # Errors
    /// [`Objection`]; nothing is recorded then.
    pub fn follow(
        &mut self,
        seen: &Binding,
        headers: &HeaderMap,
        ladder: &Ladder,
        fresh: bool,
        now: MonoMillis,
    ) -> Result<Moved, Objection> {
        let at = Tick::at(now);
        let browser = self.browser_evidence(seen, headers, ladder.user_agent)?;
        let step = self.step_to(seen.place, ladder.address)?;
        let asks = step == Step::Elsewhere || browser + step.evidence() >= ASKS;
        if asks && !fresh {
            return Err(match step {
                Step::Elsewhere => Objection::Network,
                Step::Ignored | Step::Known | Step::Nearby | Step::OtherFamily => Objection::Habits,
            });
        }
        if step == Step::Elsewhere && !self.may_move(ladder.per_hour, at) {
            return Err(Objection::Unsteady);
        }
        if step != Step::Ignored {
            self.stay(seen.place, at)?;
        }
        if ladder.user_agent != BindingPolicy::Off {
            self.note_browser(seen, headers);
        }
        self.last = *seen;
        Ok(self.note_step(step, at))
    }

    /// Takes these surroundings for good without a question, as after a login.
    pub fn adopt(&mut self, seen: &Binding, headers: &HeaderMap, now: MonoMillis) {
        let at = Tick::at(now);
        self.stays = Stays::of(self.stays_with(seen.place, at));
        self.note_browser(seen, headers);
        self.last = *seen;
    }

    /// Nothing passes from here on until [`Self::restore`].
    pub fn suspend(&mut self) {
        self.suspended = true;
    }

    /// Whether the user has to authenticate again.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Who the application says that it is.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<str>> {
        self.user.as_ref()
    }

    /// The application says whose session it is.
    pub fn belong_to(&mut self, user: &Arc<str>) {
        self.user = Some(Arc::clone(user));
    }

    /// The user has authenticated, by a call from the surroundings `at_login`: the session goes on from there.
    pub fn restore(&mut self, user: &Arc<str>, at_login: &Self) {
        *self = at_login.clone();
        self.belong_to(user);
    }

    fn browser_evidence(&self, seen: &Binding, headers: &HeaderMap, policy: BindingPolicy) -> Result<u8, Objection> {
        if policy == BindingPolicy::Off {
            return Ok(0);
        }
        let program = if self.is_other_program(seen) { EVIDENCE_TLS } else { 0 };
        if seen.agent == self.agent.hash && seen.habits == self.habits.combined {
            return Ok(program);
        }
        let browser = Browser::of(headers);
        let change = self.agent.change_to(&Agent::of(browser.agent.unwrap_or_default()));
        let evidence = self.habits.evidence_against(&Habits::of(&browser), change);
        match (change, policy) {
            (AgentChange::None, _) => Ok(program + evidence),
            (AgentChange::Newer, BindingPolicy::Ladder | BindingPolicy::Off) => Ok(EVIDENCE_NEWER_AGENT + evidence),
            (AgentChange::Newer | AgentChange::Other, _) => Err(Objection::UserAgent),
        }
    }

    fn step_to(&self, place: Place, policy: BindingPolicy) -> Result<Step, Objection> {
        match policy {
            BindingPolicy::Off => return Ok(Step::Ignored),
            BindingPolicy::Strict if place != self.home => return Err(Objection::Unsteady),
            BindingPolicy::Strict | BindingPolicy::Ladder => {}
        }
        // There is one stay in each network.
        if self.stays.iter().any(|stay| stay.place == place) {
            return Ok(Step::Known);
        }
        if self.known(place).is_some() {
            return Ok(Step::Nearby);
        }
        let mut families = self.stays.iter().map(|stay| stay.place.family());
        let is_first = !self.both_families && families.all(|family| family != place.family());
        Ok(if is_first { Step::OtherFamily } else { Step::Elsewhere })
    }

    /// The stay in the network of a place.
    fn known(&self, place: Place) -> Option<usize> {
        let network = place.network();
        self.stays
            .all()
            .iter()
            .position(|stay| stay.is_some_and(|stay| stay.place.network() == network))
    }

    fn may_move(&self, per_hour: u16, at: Tick) -> bool {
        at.since(self.hour) >= HOUR || self.moves < per_hour
    }

    /// Notes a call from this place.
    fn stay(&mut self, place: Place, at: Tick) -> Result<(), Objection> {
        if let Some(stay) = self.stays.only_at(place) {
            stay.go_on(place, at);
            return Ok(());
        }
        let stays = self.stays_with(place, at);
        if is_concentrated(&stays, place.family()) {
            return Err(Objection::Concentrated);
        }
        self.stays = Stays::of(stays);
        Ok(())
    }

    /// The stays after a call from this place.
    fn stays_with(&self, place: Place, at: Tick) -> [Option<Stay>; KNOWN] {
        let mut stays = self.stays.all();
        if let Some(stay) = self.known(place).and_then(|known| stays[known].as_mut()) {
            stay.go_on(place, at);
            return stays;
        }
        let longest_gone = |stay: &&mut Option<Stay>| stay.map(|stay| stay.until);
        if let Some(slot) = stays.iter_mut().min_by_key(longest_gone) {
            *slot = Some(Stay::begin(place, at));
        }
        stays
    }

    fn note_step(&mut self, step: Step, at: Tick) -> Moved {
        match step {
            Step::Ignored | Step::Known => Moved::No,
            Step::OtherFamily => {
                self.both_families = true;
                Moved::No
            }
            Step::Nearby => {
                let is_due = self.nearby_counted.is_none_or(|last| at.since(last) >= NEARBY_COUNTED);
                if is_due {
                    self.nearby_counted = Some(at);
                    Moved::Nearby
                } else {
                    Moved::No
                }
            }
            Step::Elsewhere => {
                if at.since(self.hour) >= HOUR {
                    (self.hour, self.moves) = (at, 0);
                }
                self.moves += 1;
                Moved::Away
            }
        }
    }

    fn note_browser(&mut self, seen: &Binding, headers: &HeaderMap) {
        if seen.agent != self.agent.hash {
            self.agent = Agent::of(Browser::of(headers).agent.unwrap_or_default());
        }
        if seen.habits != self.habits.combined {
            self.habits.update(&Habits::of(&Browser::of(headers)));
        }
        self.programs = self.programs.with(seen.tls);
    }
}

/// The TLS stacks that a session was used by: the first, and the newest beside it. Two, as one and the same browser
/// looks different where a network opens TLS, and comes home again. Zero is none. Half of a hash each: who wants to look
/// like another program need not search for a collision.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Programs([u16; 2]);

impl Programs {
    /// Where no handshake was seen, nothing is unknown.
    fn know(self, tls: u32) -> bool {
        tls == 0 || self.0[0] == 0 || self.0.contains(&half(tls))
    }

    fn with(self, tls: u32) -> Self {
        let [first, second] = self.0;
        match first {
            _ if tls == 0 || first == half(tls) => self,
            0 => Self([half(tls), second]),
            _ => Self([first, half(tls)]),
        }
    }
}

fn half(hash: u32) -> u16 {
    let [high, low] = [hash >> 16, hash & 0xffff];
    u16::try_from(high ^ low).unwrap_or(0).max(1)
}

/// Where a call comes from, compared with what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nobody asks.
    Ignored,
    /// The very place that was last seen in that network.
    Known,
    /// Another address of a known network.
    Nearby,
    /// The first network of the other family.
    OtherFamily,
    /// Any other network.
    Elsewhere,
}

impl Step {
    fn evidence(self) -> u8 {
        match self {
            Self::Ignored | Self::Known | Self::Elsewhere => 0,
            Self::Nearby => EVIDENCE_NEARBY,
            Self::OtherFamily => EVIDENCE_OTHER_FAMILY,
        }
    }
}

impl Habits {
    /// What is not said any more stays as it was.
    fn update(&mut self, seen: &Self) {
        let said = |old: u32, new: u32| if new == 0 { old } else { new };
        *self = Self {
            combined: seen.combined,
            language: said(self.language, seen.language),
            brands: said(self.brands, seen.brands),
            device: said(self.device, seen.device),
        };
    }

    /// What became different. What was not said before or is not said any more is no evidence.
    fn evidence_against(&self, other: &Self, agent: AgentChange) -> u8 {
        let differ = |old: u32, new: u32| old != 0 && new != 0 && old != new;
        let mut evidence = 0;
        if differ(self.language, other.language) {
            evidence += EVIDENCE_LANGUAGE;
        }
        // A newer browser names newer brands.
        if differ(self.brands, other.brands) && agent == AgentChange::None {
            evidence += EVIDENCE_BRANDS;
        }
        if differ(self.device, other.device) {
            evidence += EVIDENCE_DEVICE;
        }
        evidence
    }
}
