-- What each attempt has used, as its worker and as the server has counted it: JSON, '' for
-- nothing.
ALTER TABLE attempts ADD COLUMN used TEXT COLLATE "C" NOT NULL DEFAULT '';
