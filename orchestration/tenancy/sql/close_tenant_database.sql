-- Only this tenant's login, and the platform's own roles, may enter the database; app serves all other tenants.
revoke connect, temporary on database {database} from app, public;
grant connect on database {database} to {login};
