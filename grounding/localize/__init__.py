"""Head maps to box, masks and status. It loads no model and knows no prompt and no heads."""
