mod errors;
mod objects;
mod support;
