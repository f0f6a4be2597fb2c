//! Inputs that may be errors.

use std::{
    iter,
    sync::{Arc, Mutex, PoisonError},
};

/// The results of inputs that come one by one and may fail, such as the lines of a file: those of the inputs
/// before the first error, in order, and then that error. `embed` turns the inputs into results, with any
/// model.
///
/// ```no_run
/// use std::{error::Error, io};
///
/// use embedkit::{LoadOptions, TextEmbedding, try_inputs};
///
/// # fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
/// let model = TextEmbedding::load("BAAI/bge-small-en-v1.5", LoadOptions::default())?;
/// let lines = io::stdin().lines().map(|line| line.map_err(Box::<dyn Error + Send + Sync>::from));
/// for vector in try_inputs(lines, |lines| model.embed(lines)) {
///     println!("{:?}", vector?);
/// }
/// # Ok(())
/// # }
/// ```
pub fn try_inputs<I, T, E, R, U, F>(
    inputs: I,
    embed: impl FnOnce(UntilError<I::IntoIter, F>) -> R,
) -> impl Iterator<Item = Result<U, F>>
where
    I: IntoIterator<Item = Result<T, F>>,
    R: Iterator<Item = Result<U, E>>,
    F: From<E>,
{
    let failed = Arc::new(Mutex::new(None));
    let inputs = UntilError { inputs: inputs.into_iter(), failed: Arc::clone(&failed) };
    let results = embed(inputs).map(|result| result.map_err(F::from));
    let last = move || failed.lock().unwrap_or_else(PoisonError::into_inner).take().map(Err);
    results.chain(iter::once_with(last).flatten())
}

/// Inputs up to the first error, which is kept.
#[derive(Debug)]
pub struct UntilError<I, F> {
    inputs: I,
    failed: Arc<Mutex<Option<F>>>,
}

impl<T, F, I: Iterator<Item = Result<T, F>>> Iterator for UntilError<I, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() {
            return None;
        }
        match self.inputs.next()? {
            Ok(input) => Some(input),
            Err(error) => {
                *failed = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubled(inputs: Vec<Result<u32, String>>) -> Vec<Result<u32, String>> {
        let double = |inputs: UntilError<_, String>| {
            inputs.map(|input| if input == 7 { Err("seven") } else { Ok(input * 2) })
        };
        try_inputs(inputs, double).collect()
    }

    #[test]
    fn results_before_the_first_error_come_first() {
        assert_eq!(doubled(vec![Ok(1), Ok(2)]), [Ok(2), Ok(4)]);
        let failed = || Err("cut".to_owned());
        assert_eq!(doubled(vec![Ok(1), failed(), Ok(2), failed()]), [Ok(2), failed()]);
        assert_eq!(doubled(vec![failed()]), [failed()]);
    }

    #[test]
    fn errors_of_the_model_are_in_their_places() {
        assert_eq!(doubled(vec![Ok(7), Ok(1)]), [Err("seven".to_owned()), Ok(2)]);
    }
}
