//! The JSON Schema of the file, for editors. Made from the raw types, so that it knows the keys that `check` knows.

pub(super) mod form;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::RawFile;

/// The JSON Schema (2020-12) of a configuration file, short and long forms.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawFile>().to_value();
    drop_null_defaults(&mut schema);
    schema
}

/// Every field is optional in the raw types; that `null` is their default means nothing to a user.
fn drop_null_defaults(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            map.values_mut().for_each(drop_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null_defaults),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
