// Package run reconciles two sides of any size with bounded memory.
//
// It owns the spill files, the passes of a run and the report. Each rule of the plan is one
// pass: rows are laid into partitions on disk by the rule's key, partitions are matched one by
// one, and what is left goes into the partitions of the next rule. A last pass shows every row
// to the inquiry that finds causes.
//
// Memory is a partition of each side for each worker, and what matches nothing (BreaksMax); the
// disk holds both sides about twice over. Spill files live in a folder of the run and are
// removed with it: a run that dies leaves a folder and has decided nothing.
//
// Amounts are minor units. A Run belongs to its caller; it starts goroutines and has waited for
// all of them when it returns. Equal input gives an equal Result and an equal report, byte for
// byte, with any number of workers.
//
// It changes nothing: breaks become known only when package book keeps them. A source that
// cannot be read stops the run; nothing is reconciled in part.
package run
