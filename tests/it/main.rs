mod objects;
mod support;
