//! What may be replaced while others use it: they keep what they have, and get the new one next time.

use std::sync::{Arc, PoisonError, RwLock};

/// The latest version of something.
pub struct Latest<T>(RwLock<Arc<T>>);

impl<T> Latest<T> {
    /// The first version.
    pub fn new(first: T) -> Self {
        Self(RwLock::new(Arc::new(first)))
    }

    /// The version of this moment. Whoever keeps it keeps it alive.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another version in its place.
    pub fn set(&self, next: impl Into<Arc<T>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next.into();
    }
}
