-- What a vendor's listings say of an instrument's names is kept beside what its changes of name make of it, so that
-- a change that is taken back leaves no trace.
ALTER TABLE sec.instrument_symbol
  ADD COLUMN told daterange CHECK (NOT isempty(told));   -- by the listings; NULL: known by a change of name alone
UPDATE sec.instrument_symbol SET told = valid;
