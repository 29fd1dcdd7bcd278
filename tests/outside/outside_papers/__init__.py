"""Two papers of another package: a technique, and a method on vectors. Installed as any package would be."""
