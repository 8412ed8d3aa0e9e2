//! A finding as answers write it.

use grantkeeper::broker::finding::Finding;
use grantkeeper::inbound::problem::Problem;

/// Code, detail and advice.
pub(crate) struct Told {
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) advice: Vec<String>,
}

impl From<Finding> for Told {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Said { code, detail, advice } => Self { code: code.to_owned(), detail, advice },
            Finding::Classified(advice) => {
                Self { code: advice.code.to_owned(), detail: advice.detail, advice: advice.advice }
            }
            Finding::Failed(error) => {
                let problem = Problem::from(&error);
                Self { code: problem.code, detail: problem.detail, advice: problem.advice }
            }
        }
    }
}
