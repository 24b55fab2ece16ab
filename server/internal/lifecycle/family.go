package lifecycle

import "context"

// familyPage is how many sub-tasks one read of the store asks for.
const familyPage = 200

// Descendants calls visit for each sub-task of a task, and theirs: those of
// one task newest first, each before its own.
func (s *Service) Descendants(ctx context.Context, org, id string, visit func(Listed) error) error {
	return s.descend(ctx, org, id, map[string]bool{id: true}, visit)
}

// descend guards with seen against circles.
func (s *Service) descend(ctx context.Context, org, id string, seen map[string]bool, visit func(Listed) error) error {
	p := Page{Number: 1, Size: familyPage}
	for {
		found, err := s.store.Tasks(ctx, org, Filter{Parent: id}, p)
		if err != nil {
			return err
		}
		for _, x := range found.Items {
			if seen[x.ID] {
				continue
			}
			seen[x.ID] = true
			if err := visit(x); err != nil {
				return err
			}
			if err := s.descend(ctx, org, x.ID, seen, visit); err != nil {
				return err
			}
		}
		if p.Cursor = found.Next; p.Cursor == (Cursor{}) {
			return nil
		}
	}
}
