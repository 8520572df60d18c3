mod adjusting;
mod bounds;
mod learning;
mod properties;
mod resizing;
mod tier;
