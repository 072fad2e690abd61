//! What the application says of a session, and what follows from it.

use super::consequence::Fault;
use super::permit::Caller;
use super::{Guard, Judgement};
use crate::effect::Effect;
use crate::policy::Mode;
use crate::reauth::SessionWord;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::session::table::Shard;
use crate::time::Now;

impl Guard {
    /// Heeds the application's word on the session of a call that it answered with `status`. A refusal replaces the
    /// answer.
    ///
    /// `end` holds with any status, `bind` with 2xx. A suspended session comes back by a login alone; a call that was
    /// under way when the session was suspended does not restore it.
    #[expect(clippy::needless_pass_by_value, reason = "the application answers once")]
    pub fn heed(
        &self,
        caller: Caller,
        word: &SessionWord,
        status: u16,
        request: &Request<'_>,
        now: Now,
    ) -> Judgement<()> {
        let mut shard = self.sessions.shard(caller.session);
        match word {
            SessionWord::End => Judgement {
                outcome: Ok(()),
                effects: self.log_out(&mut shard, &caller, now),
            },
            SessionWord::Bind(_) if !(200..300).contains(&status) => Judgement::clean(()),
            SessionWord::Bind(user) => {
                let Some(record) = shard.get(caller.session) else {
                    return Judgement::clean(());
                };
                if record.binding.user().is_some_and(|bound| bound != user) {
                    let ended = match self.mode_for(Some(caller.session), request.client) {
                        Mode::Enforce => self.log_out(&mut shard, &caller, now),
                        Mode::Monitor => {
                            record.binding.belong_to(user);
                            Vec::new()
                        }
                    };
                    drop(shard);
                    return self.refuse_switch(request, ended, &caller, now);
                }
                match &caller.login {
                    Some(login) => record.binding.restore(user, login),
                    None if record.binding.is_suspended() => {}
                    None => record.binding.belong_to(user),
                }
                Judgement::clean(())
            }
        }
    }

    /// Ends a session without touching its connections: the browser has done nothing wrong.
    fn log_out(&self, shard: &mut Shard, caller: &Caller, now: Now) -> Vec<Effect> {
        let half_life = self.policy.thresholds.half_life;
        let ended = shard.end(caller.session, None, half_life, now).is_some();
        let effect = Effect::SessionEnded {
            session: caller.session,
            ttl: self.policy.sessions.lifetime,
        };
        ended.then_some(effect).into_iter().collect()
    }

    /// What the first user did must not count for the second, so the second needs a session of his own.
    fn refuse_switch(&self, request: &Request<'_>, ended: Vec<Effect>, caller: &Caller, now: Now) -> Judgement<()> {
        let refused = self.refuse(request, Fault::by(Refusal::UserSwitched, caller.session), now);
        Judgement {
            effects: ended.into_iter().chain(refused.effects).collect(),
            ..refused
        }
    }
}
