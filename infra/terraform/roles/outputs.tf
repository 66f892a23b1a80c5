output "role_assignments" {
  description = "Every role assignment, with what an operator sees where it is missing; read by verify_roles.py."
  value       = module.roles.assignments
}
