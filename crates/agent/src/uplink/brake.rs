//! Judging the plan of the objects.
//!
//! Invariant: a user that the hub shows as suspended by now is not counted, whatever the index
//! says: the account state stream writes beside this one.

use super::Work;
use crate::brake::{Brake, Pass};
use crate::engine::guard::{Removals, What};
use crate::engine::index::Index;
use crate::engine::plan::{self, Plan, Steps};
use crate::failure::Failure;
use crate::hub;

impl Work<'_> {
    /// Lets a plan pass or not.
    ///
    /// # Errors
    /// [`Failure`] with the way to approve of it.
    pub(super) async fn judge(
        &self,
        plan: &Plan,
        index: &Index,
        brake: &mut Brake<'_>,
    ) -> Result<Pass, Failure> {
        let name = |guid| plan::name(index, guid);
        let now = self.clock.now();
        let removals = Removals::of(plan, index);
        if let Ok(pass) = brake.check(removals.clone(), now, name) {
            return Ok(pass);
        }
        let hub = self.session.hub();
        let before = hub.before(plan, index, &self.settings.mapping).await;
        let before = before.map_err(|error| hub::failure(&error))?;
        let suspended = |what, guid| {
            let there = before.users.get(&guid);
            what == What::Suspensions && there.is_some_and(|user| !user.active)
        };
        let removals = removals.without(suspended);
        match brake.check(removals.clone(), now, name) {
            Ok(pass) => Ok(pass),
            Err(why) => {
                let steps = Steps {
                    plan,
                    index,
                    behavior: self.settings.remove_user_behavior,
                    before: &before,
                };
                brake.refuse(removals, steps.iter(), &why)
            }
        }
    }
}
