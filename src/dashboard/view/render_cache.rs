//! Markup that is rendered once for all viewers: the newest one is kept, by the version of the model that it shows. Nothing is rendered while
//! there is no viewer.

use std::sync::{Arc, Mutex, PoisonError};

/// The newest markup. Clones share it.
#[derive(Debug)]
pub struct RenderCache<K, V> {
    newest: Arc<Mutex<Newest<K, V>>>,
}

/// A version and its markup, if one was rendered.
type Newest<K, V> = Option<(K, Arc<V>)>;

impl<K, V> Clone for RenderCache<K, V> {
    fn clone(&self) -> Self {
        Self { newest: Arc::clone(&self.newest) }
    }
}

impl<K, V> Default for RenderCache<K, V> {
    fn default() -> Self {
        Self { newest: Arc::default() }
    }
}

impl<K: PartialEq, V> RenderCache<K, V> {
    /// The markup of this version. Viewers that ask for it at the same time wait for the one that renders it.
    pub fn get(&self, version: K, render: impl FnOnce() -> V) -> Arc<V> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*newest {
            Some((known, markup)) if *known == version => Arc::clone(markup),
            _ => {
                let markup = Arc::new(render());
                *newest = Some((version, Arc::clone(&markup)));
                markup
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_rendered_once_for_all_viewers() {
        let cache = RenderCache::default();
        let viewer = cache.clone();
        assert_eq!(*cache.get(1, || "first"), "first");
        assert_eq!(*viewer.get(1, || "not rendered again"), "first");
        assert_eq!(*viewer.get(2, || "second"), "second");
        assert_eq!(*cache.get(2, || "not rendered again"), "second");
    }
}
