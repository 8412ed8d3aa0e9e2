//! What calls of the table cost, in DynamoDB's capacity units, measured from outside: an interceptor in the SDK client asks
//! every call to say what it consumed, and keeps the answer. What is built over that client does not know of it.
//!
//! A write unit is 1 KB written, a read unit 4 KB read consistently, half of one otherwise; a transaction counts twice
//! (Amazon DynamoDB Developer Guide, "Read and write operations"). A write that its condition refused costs as much as
//! one that was applied, but the refusal does not say so: it is not measured here.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemInput, BatchWriteItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::transact_get_items::{TransactGetItemsInput, TransactGetItemsOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};

/// What one operation consumed.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumed {
    /// The operation, by its name in DynamoDB's API.
    pub operation: &'static str,
    /// Read units, those of indexes included.
    pub read: f64,
    /// Write units, those of indexes included.
    pub write: f64,
    /// Of these, the units of each index, by its name; an index that was not touched is not here.
    pub indexes: BTreeMap<String, f64>,
}

impl fmt::Display for Consumed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} read, {} write", self.operation, self.read, self.write)?;
        for (index, units) in &self.indexes {
            write!(out, ", {units} of it by index {index}")?;
        }
        Ok(())
    }
}

/// Measures the operations of an SDK client. Its clones measure together.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Vec<Consumed>>>);

impl Meter {
    /// A meter that has measured nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets it measure what a client of this configuration does. An answer that does not say what it cost fails the call.
    pub fn attach(&self, config: Builder) -> Builder {
        config.interceptor(self.clone())
    }

    /// What was measured since the last time, in the order of the answers. A call that was refused is not in it.
    pub fn take(&self) -> Vec<Consumed> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, operation: &'static str, writes: bool, consumed: &[ConsumedCapacity]) -> Result<(), BoxError> {
        if consumed.is_empty() {
            return Err(format!("{operation} does not say what it consumed").into());
        }
        let mut sum = Consumed { operation, read: 0.0, write: 0.0, indexes: BTreeMap::new() };
        for table in consumed {
            let total = table.capacity_units.ok_or("consumed capacity without a total")?;
            // Only transactions say it apart; the kind of every other operation is known.
            let (read, write) = match (table.read_capacity_units, table.write_capacity_units) {
                (None, None) if writes => (0.0, total),
                (None, None) => (total, 0.0),
                (read, write) => (read.unwrap_or_default(), write.unwrap_or_default()),
            };
            sum.read += read;
            sum.write += write;
            for (index, capacity) in table.global_secondary_indexes.iter().flatten() {
                *sum.indexes.entry(index.clone()).or_default() += capacity.capacity_units.unwrap_or_default();
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sum);
        Ok(())
    }
}

/// What an answer says: one table's consumption, or that of each table it touched.
trait Tables {
    fn tables(&self) -> &[ConsumedCapacity];
}

impl Tables for Option<ConsumedCapacity> {
    fn tables(&self) -> &[ConsumedCapacity] {
        self.as_slice()
    }
}

impl Tables for Option<Vec<ConsumedCapacity>> {
    fn tables(&self) -> &[ConsumedCapacity] {
        self.as_deref().unwrap_or_default()
    }
}

/// The operations that are measured, with what they are charged for.
macro_rules! operations {
    ($($name:literal: $input:ty => $output:ty, writes $writes:literal;)+) => {
        fn ask(context: &mut BeforeSerializationInterceptorContextMut<'_>) {
            let input = context.input_mut();
            $(if let Some(input) = input.downcast_mut::<$input>() {
                input.return_consumed_capacity = Some(ReturnConsumedCapacity::Indexes);
            })+
        }

        fn read(meter: &Meter, context: &AfterDeserializationInterceptorContextRef<'_>) -> Result<(), BoxError> {
            let Ok(output) = context.output_or_error() else { return Ok(()) };
            $(if let Some(output) = output.downcast_ref::<$output>() {
                return meter.keep($name, $writes, output.consumed_capacity.tables());
            })+
            Ok(())
        }
    };
}

operations! {
    "GetItem": GetItemInput => GetItemOutput, writes false;
    "BatchGetItem": BatchGetItemInput => BatchGetItemOutput, writes false;
    "Query": QueryInput => QueryOutput, writes false;
    "Scan": ScanInput => ScanOutput, writes false;
    "TransactGetItems": TransactGetItemsInput => TransactGetItemsOutput, writes false;
    "PutItem": PutItemInput => PutItemOutput, writes true;
    "UpdateItem": UpdateItemInput => UpdateItemOutput, writes true;
    "DeleteItem": DeleteItemInput => DeleteItemOutput, writes true;
    "BatchWriteItem": BatchWriteItemInput => BatchWriteItemOutput, writes true;
    "TransactWriteItems": TransactWriteItemsInput => TransactWriteItemsOutput, writes true;
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        ask(context);
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        read(self, context)
    }
}

/// How large an item is, in bytes (Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats"): names, values, and
/// what lists and maps need besides.
pub fn item_bytes(item: &HashMap<String, AttributeValue>) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number_bytes(number),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number_bytes(number)).sum(),
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::M(values) => 3 + values.len() + item_bytes(values),
        _ => 1, // a truth value, nothing
    }
}

/// About one byte for two significant digits, and one more.
fn number_bytes(number: &str) -> usize {
    let digits = number.trim_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
    1 + digits.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_names_values_and_what_holds_them() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: &str| AttributeValue::N(number.to_owned());
        assert_eq!(value_bytes(&text("schlüssel")), 10);
        assert_eq!([value_bytes(&number("0")), value_bytes(&number("1772358641000"))], [1, 6]);
        assert_eq!(value_bytes(&AttributeValue::L(vec![text("ab"), AttributeValue::Bool(true)])), 3 + 3 + 2);
        let map = HashMap::from([("team".to_owned(), text("blue"))]);
        assert_eq!(value_bytes(&AttributeValue::M(map.clone())), 3 + 1 + 8);
        assert_eq!(item_bytes(&map), 8);
    }
}
