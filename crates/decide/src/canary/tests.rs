mod bets;
mod gather;
mod study;
mod verdict;
mod world;
