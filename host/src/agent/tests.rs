mod fakes;
mod limits;
mod memory;
mod resume;
mod turn;
