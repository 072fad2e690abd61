//! The guard, the application behind it, the clock and the dice.

use fastrand::Rng;
use http::{HeaderMap, HeaderValue, Method};
use portcullis_guard::guard::{
    Admission, Bound, Caller as Answered, Guard, Judgement, Passage, Permit, Receipt, Refused, Secrets,
};
use portcullis_guard::path::NormalPath;
use portcullis_guard::policy::Policy;
use portcullis_guard::reauth::SessionWord;
use portcullis_guard::refusal::Refusal;
use portcullis_guard::request::{ClientAddress, ConnectionId, Reference, Request};
use portcullis_guard::session::agreement::{Agreed, AgreementRequest, SessionEntropy};
use portcullis_guard::session::token::{MasterKey, MasterKeys};
use portcullis_guard::session::work::{self, Answer};
use portcullis_guard::signature::base::Message;
use portcullis_guard::signature::sign::{Signer, sign};
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use zeroize::Zeroizing;

use super::caller::{Caller, Session};
use super::report::{Mark, Outcome, Tally};
use super::trade::{Deed, Scenario, Sent};

/// When the simulation starts, by the wall clock.
const START: u64 = 1_800_000_000_000;
/// Puzzles are this much easier than they claim, so that the simulation need not work; their time is counted in full.
const EASIER: u8 = 13;
/// Hashes that a client tries in a virtual millisecond.
const HASHES: u64 = 300;
/// How often the SDK tries before it gives up.
const ATTEMPTS: usize = 4;

pub(super) struct World {
    pub(super) now: u64,
    pub(super) rng: Rng,
    guard: Guard,
    scenario: &'static Scenario,
}

/// A call that the application may see.
struct Signed {
    sent: Sent,
    path: NormalPath,
    headers: HeaderMap,
}

/// How a signed call went at the guard.
enum Judged {
    Passed(Permit),
    Refused(Box<Refused>),
}

impl World {
    pub(super) fn new(scenario: &'static Scenario, mut policy: Policy, seed: u64) -> Self {
        policy.work.bits = policy.work.bits.saturating_sub(EASIER).max(1);
        policy.work.max_bits = policy.work.max_bits.saturating_sub(EASIER).max(1);
        let master = MasterKeys::new(MasterKey::new(1, &Zeroizing::new([1; 32])), vec![]);
        let run = Zeroizing::new([2; 32]);
        let guard = Guard::new(policy, Secrets { master, run }, 10_000);
        Self {
            now: 0,
            rng: Rng::with_seed(seed),
            guard,
            scenario,
        }
    }

    fn time(&self) -> Now {
        Now {
            wall: WallMillis(START + self.now),
            mono: MonoMillis(self.now),
        }
    }

    /// Does a deed as the SDK would, and writes down what became of it.
    pub(super) fn does(&mut self, caller: &mut Caller, deed: &Deed, tally: &mut Tally) -> Outcome {
        let outcome = self.tries(caller, deed, tally);
        tally.marks.push(Mark { at: self.now, outcome });
        outcome
    }

    fn tries(&mut self, caller: &mut Caller, deed: &Deed, tally: &mut Tally) -> Outcome {
        let mut refusal = None;
        for attempt in 0..ATTEMPTS {
            if caller.session.is_none()
                && let Err(outcome) = self.open(caller, tally)
            {
                return outcome;
            }
            let Some(signed) = self.sign(caller, deed) else {
                return Outcome::Refused;
            };
            let refused = match self.passes(caller, &signed) {
                Judged::Passed(permit) => {
                    tally.unseen += u32::try_from(attempt).unwrap_or_default();
                    self.answer(caller, deed, &signed, permit);
                    return Outcome::Passed;
                }
                Judged::Refused(refused) => refused,
            };
            refusal = Some(refused.refusal);
            if let (Some((_, nonce)), Some(session)) = (&refused.fresh, &mut caller.session) {
                session.adopt(nonce);
            } else if refused.refusal.problem().name == "session-invalid" || refused.refusal.suspends() {
                // The page opens another session; of those that are suspended, the user notices.
                caller.session = None;
            } else {
                break;
            }
        }
        outcome_of(refusal)
    }

    /// Sends the same bytes again, as a browser does whose connection broke. The page notices nothing of it.
    pub(super) fn does_twice(&mut self, caller: &mut Caller, deed: &Deed, tally: &mut Tally) -> Outcome {
        if caller.session.is_some()
            && let Some(signed) = self.sign(caller, deed)
            && let Judged::Passed(permit) = self.passes(caller, &signed)
        {
            // The application did it, and its answer was lost.
            let unanswered = self.answer_lost(permit);
            caller.connection = self.rng.u64(1..);
            let again = self.passes(caller, &signed);
            drop(unanswered);
            if let Judged::Passed(permit) = again {
                self.answer(caller, deed, &signed, permit);
            }
        }
        self.does(caller, deed, tally)
    }

    fn answer_lost(&self, mut permit: Permit) -> Option<Receipt> {
        permit.take_receipt()
    }

    fn open(&mut self, caller: &mut Caller, tally: &mut Tally) -> Result<(), Outcome> {
        let mut answer = None;
        for _ in 0..2 {
            let asked = Signed::opening(caller);
            let request = asked.request(caller, Reference(self.rng.u64(..)));
            let judged: Judgement<()> = self.guard.may_open(&request, answer.as_ref(), self.time());
            match judged.outcome {
                Ok(()) => {
                    caller.session = self.opened(caller);
                    return caller.session.is_some().then_some(()).ok_or(Outcome::Refused);
                }
                Err(refused) if refused.waived.is_some() => {
                    caller.session = self.opened(caller);
                    return Ok(());
                }
                Err(refused) => match &refused.work {
                    Some(demand) => {
                        tally.worked += 1;
                        self.now += (8u64 << (demand.bits + EASIER)) / HASHES;
                        answer = Some(Answer {
                            challenge: demand.challenge.clone(),
                            answers: work::solve(&demand.challenge, demand.bits),
                        });
                    }
                    None => return Err(outcome_of(Some(refused.refusal))),
                },
            }
        }
        Err(Outcome::Refused)
    }

    fn opened(&mut self, caller: &Caller) -> Option<Session> {
        let mut entropy = SessionEntropy {
            id: [0; 12],
            secret: Zeroizing::new([0; 32]),
            salt: [0; 32],
        };
        self.rng.fill(&mut entropy.id);
        self.rng.fill(&mut *entropy.secret);
        let client = ClientAddress::new(caller.address);
        let asked = AgreementRequest::ServerKey;
        let opened = self.guard.open_session(&asked, &entropy, client, self.time()).ok()?;
        let Agreed::ServerKey(key) = opened.agreed else {
            return None;
        };
        Some(Session {
            id: opened.session_id,
            key,
            stream: format!("s{:016x}", self.rng.u64(..)),
            counter: 0,
        })
    }

    fn sign(&self, caller: &mut Caller, deed: &Deed) -> Option<Signed> {
        let sent = self.scenario.request(deed);
        let mut headers = fields(caller);
        if !sent.body.is_empty() {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        let session = caller.session.as_mut()?;
        let nonce = session.next_nonce();
        let signer = Signer {
            session_id: &session.id,
            key: &session.key,
            created: self.time().wall.seconds(),
            nonce: &nonce,
        };
        let message = Message {
            method: &sent.method,
            authority: "shop.example",
            path: &sent.path,
            query: None,
            headers: &headers,
        };
        let headers = sign(&signer, message, sent.body.as_bytes()).ok()?;
        let path = NormalPath::parse(&sent.path).ok()?;
        Some(Signed { sent, path, headers })
    }

    fn passes(&mut self, caller: &Caller, signed: &Signed) -> Judged {
        let has_body = !signed.sent.body.is_empty();
        let reference = Reference(self.rng.u64(..));
        let request = signed.request(caller, reference);
        let judged = self.guard.judge_head(&request, self.time());
        let outcome = match judged.outcome {
            Ok(Admission::Forward(permit)) => Ok(permit),
            Ok(Admission::Bound(bound)) => {
                let body = has_body.then_some(signed.sent.body.as_bytes());
                self.waits(bound, &request, body)
            }
            Err(refused) => Err(refused),
        };
        match outcome {
            Ok(permit) => Judged::Passed(permit),
            Err(mut refused) => match refused.waived.take() {
                Some(permit) => Judged::Passed(permit),
                None => Judged::Refused(refused),
            },
        }
    }

    /// A call that comes too early is held, and its sender waits.
    fn waits(&mut self, bound: Bound, request: &Request<'_>, body: Option<&[u8]>) -> Result<Permit, Box<Refused>> {
        let mut passage = self.guard.admit(bound, request, body, self.time()).outcome?;
        loop {
            match passage {
                Passage::Forward(permit) => return Ok(permit),
                Passage::Hold(hold) => {
                    self.now = self.now.max(hold.until().0);
                    passage = self.guard.resume(hold, request, body, self.time()).outcome?;
                }
            }
        }
    }

    /// The application answers, and the guard hears of it.
    fn answer(&mut self, caller: &Caller, deed: &Deed, signed: &Signed, mut permit: Permit) {
        let status = signed.sent.status;
        if let Some(receipt) = permit.take_receipt() {
            self.guard.complete(receipt, status, self.time());
        }
        if let (Deed::Login { user, right: true }, Some(answered)) = (deed, permit.take_caller()) {
            self.heed(caller, signed, answered, *user);
        }
    }

    fn heed(&mut self, caller: &Caller, signed: &Signed, answered: Answered, user: u32) {
        let word = SessionWord::Bind(format!("u{user}").into());
        let request = signed.request(caller, Reference(self.rng.u64(..)));
        let heard = self
            .guard
            .heed(answered, &word, signed.sent.status, &request, self.time());
        // Another user in the same session is refused; the page opens another one at its next call.
        drop(heard);
    }
}

impl Signed {
    /// The request for a session. It is not signed.
    fn opening(caller: &Caller) -> Self {
        Self {
            sent: Sent {
                method: Method::POST,
                path: "/.well-known/portcullis/session".into(),
                body: "{}".into(),
                status: 201,
            },
            path: NormalPath::root(),
            headers: fields(caller),
        }
    }

    fn request<'a>(&'a self, caller: &Caller, reference: Reference) -> Request<'a> {
        Request {
            method: &self.sent.method,
            operation: &self.sent.method,
            authority: "shop.example",
            raw_path: &self.sent.path,
            query: None,
            path: &self.path,
            headers: &self.headers,
            has_body: !self.sent.body.is_empty(),
            client: ClientAddress::new(caller.address),
            connection: ConnectionId(caller.connection),
            reference,
            ticket: None,
            fingerprint: None,
            trusted: false,
        }
    }
}

fn fields(caller: &Caller) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("user-agent", HeaderValue::from_static(caller.agent));
    headers.insert("accept-language", HeaderValue::from_static("en"));
    headers
}

fn outcome_of(refusal: Option<Refusal>) -> Outcome {
    match refusal {
        Some(Refusal::AddressBanned(_) | Refusal::ClientBanned(_) | Refusal::SessionBanned(_)) => Outcome::Banned,
        Some(_) | None => Outcome::Refused,
    }
}
